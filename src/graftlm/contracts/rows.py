"""Rows: one split in the task's own terms, Arrow-backed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graftlm.contracts import tables
from graftlm.contracts.values import Example

if TYPE_CHECKING:
    import pyarrow as pa

ID, WHERE = "__id__", "__where__"


@dataclass(frozen=True, slots=True)
class Rows:
    """One split: a table whose columns are the task's roles, with `__id__` and `__where__` beside them.

    `target` is the role that holds the truth (None where there is no truth); `fingerprint` names the
    content of all columns but the places, so that a file may be moved.
    """

    name: str
    table: pa.Table
    target: str | None
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.table.num_rows)

    def has(self, role: str) -> bool:
        """Tell whether a role has a column."""
        return role in self.table.column_names

    def column(self, role: str) -> list[Any]:
        """Return one role's values as a list of length N."""
        return self.table.column(role).to_pylist()  # type: ignore[no-any-return]

    def where(self, row: int) -> str:
        """Return the place of a row in its source."""
        return str(self.table.column(WHERE)[row].as_py())

    def take(self, indices: Sequence[int], name: str | None = None) -> Rows:
        """Return the rows with the given numbers, in their order, as a split of their own."""
        table = pick(self.table, indices)
        return Rows(name or self.name, table, self.target, fingerprint(table))

    def examples(self, start: int = 0, stop: int | None = None) -> list[Example]:
        """Return the examples with numbers in [start, stop)."""
        part = self.table.slice(start, None if stop is None else stop - start)
        columns = {name: part.column(name).to_pylist() for name in part.column_names}
        ids, places = columns.pop(ID), columns.pop(WHERE)
        targets = columns.pop(self.target) if self.target in columns else [None] * len(ids)
        names = list(columns)
        values = zip(*columns.values(), strict=True) if names else ((),) * len(ids)
        return [
            Example(str(i), dict(zip(names, row, strict=True)), target, place)
            for i, row, target, place in zip(ids, values, targets, places, strict=True)
        ]

    def lazily(self) -> Sequence[Example]:
        """Return the examples as a sequence that makes them when they are asked for, and holds one chunk."""
        return _Lazily(self)

    def chunks(self, size: int = 4096) -> Iterator[list[Example]]:
        """Yield the examples in lists of at most `size`."""
        for start in tables.resting(range(0, len(self), size)):
            yield self.examples(start, min(start + size, len(self)))


class _Lazily(Sequence[Example]):
    """The examples of rows, made a chunk at a time."""

    def __init__(self, rows: Rows, size: int = 4096) -> None:
        self.rows, self.size = rows, size
        self._begin, self._held = -1, list[Example]()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Example]:
        for chunk in self.rows.chunks(self.size):
            yield from chunk

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        begin = number - number % self.size
        if begin != self._begin:
            self._begin, self._held = begin, self.rows.examples(begin, begin + self.size)
        return self._held[number - begin]


def pick(table: pa.Table, indices: Sequence[int]) -> pa.Table:
    """Return the rows with the given numbers, in their order; rising numbers cost no second copy of the table."""
    import numpy as np
    import pyarrow as pa

    numbers = np.asarray(indices, np.int64)
    if len(numbers) == 0 or (numbers[1:] < numbers[:-1]).any():
        return table.take(numbers)
    parts = tables.Spool(table.schema)
    begin = 0
    for batch in tables.resting(table.to_batches()):
        low, high = np.searchsorted(numbers, [begin, begin + batch.num_rows])
        if high > low:
            parts.add(batch.take(pa.array(numbers[low:high] - begin)))
        begin += batch.num_rows
    if numbers[-1] >= begin or numbers[0] < 0:
        raise IndexError(f"rows {numbers[0]} to {numbers[-1]} of a table with {begin}")
    return parts.table()


def fingerprint(table: pa.Table) -> str:
    """Return the SHA-256 of a table's content, places left out; how the table is cut into chunks does not matter."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    for name in sorted(set(table.column_names) - {WHERE}):
        column = table.column(name)
        if not pa.types.is_string(column.type):
            column = pa.chunked_array([[None if v is None else repr(v) for v in column.to_pylist()]], pa.string())
        parts = [hashlib.sha256(), hashlib.sha256()]  # lengths (null: -1) and bytes, each over all chunks
        for chunk in tables.resting(column.chunks):
            lengths = pc.fill_null(pc.binary_length(chunk), -1)
            parts[0].update(lengths.to_numpy(zero_copy_only=False).astype("<i4"))
            # A null may leave bytes behind in the buffer; an empty text does not.
            whole = pc.fill_null(chunk, "") if chunk.null_count else chunk
            _, offsets, data = whole.buffers()
            if len(whole) and data is not None:
                edges = np.frombuffer(offsets, np.int32)[whole.offset : whole.offset + len(whole) + 1]
                parts[1].update(memoryview(data)[int(edges[0]) : int(edges[-1])])
        digest.update(repr((name, str(column.type), len(column))).encode())
        for part in parts:
            digest.update(part.digest())
    return digest.hexdigest()
