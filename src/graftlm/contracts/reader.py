"""Readers: a file, a folder or an object in memory becomes an Arrow table with its places."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import pyarrow as pa

BadRows = Literal["stop", "skip", "keep"]


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that could not be read as it stands: its place, why, and what was done."""

    where: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"where": self.where, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Corpus:
    """What one source holds: columns as the user named them, never a Python list of all rows.

    `lines` (N,) is the line where each row begins (or its number in the source, counted from 1), so
    that a fault can be named; `facts` is what was found out about the format (encoding, delimiter,
    header, quoting); `read` counts the rows seen: `table.num_rows + len(skipped)`.
    """

    table: pa.Table
    source: str
    lines: pa.Array | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[RowFault, ...] = ()

    @property
    def read(self) -> int:
        """Return the number of rows seen, kept and skipped."""
        return int(self.table.num_rows) + len(self.skipped)

    def where(self, row: int) -> str:
        """Return the place of a row in its source, "train.csv:17"."""
        line = self.lines[row].as_py() if self.lines is not None else row + 1
        return f"{self.source}:{line}"


class Reader(Plugin):
    """Reads one format."""

    kind: ClassVar[str] = "reader"
    source: ClassVar[str] = "project"

    @abstractmethod
    def claims(self, given: Any, head: bytes) -> float:
        """Return the confidence in [0, 1] that this reader understands `given`.

        `given` is a Path, a string (a Hub name) or an object in memory; `head` the first 64 KiB of a
        file, empty otherwise.
        """

    @abstractmethod
    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        """Read the whole source.

        Raises:
            DataError: the source cannot be read, or a row is broken and `bad_rows` is "stop".
        """


def shown(path: Path) -> str:
    """Return a path as messages show it: as the user gave it."""
    return str(path)
