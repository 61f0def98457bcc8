"""`graft cache` as a function: what is kept on disk for the next run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftlm.core import cache as store


@dataclass(frozen=True, slots=True)
class Kept:
    """The cache: its folder, the bytes it may hold, its entries (the last used first), and what was freed."""

    folder: Path
    limit: int
    entries: tuple[store.Entry, ...]
    freed: int = 0

    @property
    def bytes(self) -> int:
        """Return the bytes that all entries take."""
        return sum(entry.bytes for entry in self.entries)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "folder": str(self.folder), "limit": self.limit, "bytes": self.bytes, "freed": self.freed,
            "entries": [entry.as_json() for entry in self.entries],
        }  # fmt: skip


def cache(*, clear: bool = False) -> Kept:
    """Return what the cache holds, after it was emptied if `clear`.

    Raises:
        UserError: an entry cannot be removed, or GRAFTLM_CACHE_LIMIT is no size.
    """
    freed = store.clear() if clear else 0
    return Kept(store.folder(), store.limit(), tuple(store.entries()), freed)
