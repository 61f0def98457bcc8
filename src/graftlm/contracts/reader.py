"""Readers: a file, a folder or an object in memory becomes an Arrow table with its places."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from graftlm.contracts import tables
from graftlm.core import log, textfile
from graftlm.core.errors import DataError, printable
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import pyarrow as pa

BadRows = Literal["stop", "skip", "keep"]

PIECE_ROWS = 1 << 16
"""Most rows of one piece of a source that is read in pieces."""
PIECE_CHARACTERS = 1 << 23
"""Characters after which a piece ends, whatever its rows."""


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

    `lines` (N,) is the line where each row begins (or its number in the source, counted from 1), or,
    as strings, the file inside the folder `source`, so that a fault can be named; `facts` is what was
    found out about the format (encoding, delimiter, header, quoting); `skipped` are the rows left out,
    `mended` those kept in part; `read` counts the rows seen: `table.num_rows + len(skipped)`.
    """

    table: pa.Table
    source: str
    lines: pa.Array | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[RowFault, ...] = ()
    mended: tuple[RowFault, ...] = ()

    @property
    def read(self) -> int:
        """Return the number of rows seen, kept and skipped."""
        return int(self.table.num_rows) + len(self.skipped)

    def where(self, row: int) -> str:
        """Return the place of a row in its source: "train.csv:17", or "reviews/good/3.txt"."""
        line = self.lines[row].as_py() if self.lines is not None else row + 1
        return f"{self.source}/{line}" if isinstance(line, str) else f"{self.source}:{line}"


class Faults:
    """Applies the policy for rows that cannot be read, and keeps what happened."""

    def __init__(self, policy: BadRows) -> None:
        self.policy = policy
        self._skipped: list[RowFault] = []
        self._mended: list[RowFault] = []

    def lost(self, where: str, reason: str) -> None:
        """Record a row of which nothing can be kept.

        Raises:
            DataError: the policy is "stop".
        """
        if self.policy == "stop":
            raise DataError(
                f"{where}: {reason}. Mend the row, or set data.bad_rows to 'skip' (leave such rows out and count "
                "them) or 'keep' (keep what can be kept of them)."
            )
        self._skipped.append(RowFault(printable(where), printable(reason)))

    def kept(self, where: str, reason: str) -> bool:
        """Record a row that can be mended; return whether the policy wants it mended rather than left out.

        Raises:
            DataError: the policy is "stop".
        """
        if self.policy != "keep":
            self.lost(where, reason)
            return False
        self._mended.append(RowFault(printable(where), printable(reason)))
        return True

    def drain(self) -> dict[str, tuple[RowFault, ...]]:
        """Return and forget what was recorded, as fields of a Corpus."""
        found = {"skipped": tuple(self._skipped), "mended": tuple(self._mended)}
        self._skipped, self._mended = [], []
        return found


class Reader(Plugin):
    """Reads one format."""

    kind: ClassVar[str] = "reader"
    source: ClassVar[str] = "project"

    @abstractmethod
    def claims(self, given: Any, head: bytes) -> float:
        """Return the confidence in [0, 1] that this reader understands `given`.

        `given` is a Path, a pipe (`core.textfile.Piped`), a string (a Hub name) or an object in memory;
        `head` the first 64 KiB of a file (gunzipped), empty otherwise.
        """

    @abstractmethod
    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        """Read the whole source.

        Raises:
            DataError: the source cannot be read, or a row is broken and `bad_rows` is "stop".
        """

    def pieces(self, given: Any, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        """Yield the source in pieces, in order, at least one; readers that can do so in constant memory override it."""
        yield self.read(given, bad_rows=bad_rows)


def a_file(given: Any) -> Any:
    """Return a file's path, or a pipe, that a reader was given.

    Raises:
        DataError: it is something else, a folder say.
    """
    path = Path(given) if isinstance(given, str) else given
    if isinstance(path, textfile.Piped) or (isinstance(path, Path) and path.is_file()):
        return path
    what = f"the folder '{path}'" if isinstance(path, Path) and path.is_dir() else f"'{str(given)[-80:]}'"
    raise DataError(f"Expected a file, got {what}. Name another reader, or none: then the one that fits is found.")


def shown(given: Path | textfile.Piped) -> str:
    """Return a path as messages show it: as the user gave it; bytes of its name that are no UTF-8 are written out."""
    return printable(str(given))


def join(pieces: Iterable[Corpus]) -> Corpus:
    """Return the pieces of one source as one; memory holds one piece at a time, and large tables lie on disk."""
    import pyarrow as pa

    spools: list[tables.Spool] = []
    lines: list[Any] = []
    skipped: list[RowFault] = []
    mended: list[RowFault] = []
    read, last = 0, None
    for last in pieces:
        if not spools or not spools[-1].schema.equals(last.table.schema):
            spools.append(tables.Spool(last.table.schema))
        spools[-1].add(last.table)
        lines.append(last.lines)
        skipped += last.skipped
        mended += last.mended
        read += last.read
        log.advance("reading", read)
    if last is None:
        raise ValueError("expected one piece at least")
    known = None if any(part is None for part in lines) else pa.concat_arrays(lines)
    found = [spool.table() for spool in spools]
    table = found[0] if len(found) == 1 else stack(found)
    return Corpus(table, last.source, known, last.facts, tuple(skipped), tuple(mended))


def stack(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables one below the other; columns whose types do not go together become text."""
    import pyarrow as pa

    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException:
        pass
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    columns: dict[str, Any] = {}
    for name in names:
        parts = [t.column(name) if name in t.column_names else pa.nulls(t.num_rows) for t in tables]
        types = {part.type for part in parts if not pa.types.is_null(part.type)}
        if len(types) > 1 or any(pa.types.is_nested(kind) for kind in types):
            parts = [pa.array([plain(v) for v in part.to_pylist()], pa.string()) for part in parts]
        else:
            parts = [part.cast(next(iter(types), pa.string())) for part in parts]
        columns[name] = pa.chunked_array([c for p in parts for c in (p.chunks if hasattr(p, "chunks") else [p])])
    return pa.table(columns)


def plain(value: Any) -> str | None:
    """Return a value as text: text as it is, 1.0 as "1", booleans, lists and mappings as JSON, None as None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return None if value != value else str(value)


def column(values: Sequence[Any]) -> pa.Array:
    """Return Python values as an Arrow array: of their own type where they share one, else as text."""
    import pyarrow as pa

    try:
        found = pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        found = None
    if found is None or _fields(found.type) > 64:
        found = pa.array([plain(value) for value in values], pa.string())
    if pa.types.is_null(found.type):
        return found.cast(pa.string())
    if pa.types.is_temporal(found.type):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return found


def _fields(kind: pa.DataType) -> int:
    """Count the fields of a nested type; mappings with free keys give thousands."""
    return 1 + sum(_fields(kind.field(i).type) for i in range(kind.num_fields))


def records(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a list of mappings as a table; a key that a row lacks is null there."""
    import pyarrow as pa

    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    if rows and not names:  # objects without a key: a table without columns would lose their number
        return pa.table({"text": pa.nulls(len(rows), pa.string())})
    return pa.table({name: column([row.get(name) for row in rows]) for name in names})
