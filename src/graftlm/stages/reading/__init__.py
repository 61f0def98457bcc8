"""Reading: files, folders, Hub names and objects in memory become splits in the task's own terms."""

from __future__ import annotations

from graftlm.stages.reading.streaming import stream
from graftlm.stages.reading.whole import columns_of, read, read_rows

__all__ = ["columns_of", "read", "read_rows", "stream"]
