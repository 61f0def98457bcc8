"""Compressors: a trained model becomes a smaller one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from graftlm.contracts.rows import Rows
from graftlm.core.plugin import Plugin


class Compressor(Plugin):
    """Shrinks a trained model, looking at rows where it needs to."""

    kind: ClassVar[str] = "compressor"

    @abstractmethod
    def shrink(self, trained: Any, rows: Rows) -> Any:
        """Return the smaller model."""
