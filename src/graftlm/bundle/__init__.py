"""The folder that leaves training and enters serving: plain checkpoint, `graft.json`, model card.

Opening a bundle verifies all of it before torch or transformers are imported.
"""

from graftlm.bundle.joining import average, together
from graftlm.bundle.loading import load
from graftlm.bundle.opening import Bundle, find, open_bundle
from graftlm.bundle.writing import write
from graftlm.bundle.writing_shared import Kept, write_shared

__all__ = ["Bundle", "Kept", "average", "find", "load", "open_bundle", "together", "write", "write_shared"]
