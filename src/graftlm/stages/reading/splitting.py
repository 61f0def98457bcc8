"""Making splits: stratified by class, random, by group, by time, or from a column; a function of the seed alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts import tables
from graftlm.core import seeds
from graftlm.core.errors import DataError, listing

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = {
    "train": "train", "training": "train", "trn": "train", "训练": "train", "训练集": "train",
    "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "development": "valid",
    "验证": "valid", "验证集": "valid", "开发集": "valid",
    "test": "test", "testing": "test", "tst": "test", "eval": "test", "测试": "test", "测试集": "test",
}  # fmt: skip
_DATES = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d",
    "%Y年%m月%d日", "%d.%m.%Y",
)  # fmt: skip


def stratified(classes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask (N,) of the cut: each class gives its share, and keeps a row at least where it is.

    Whole rows are shared out by largest remainder, so that the cut has round(share * N) rows where the
    classes can give them.
    """
    values, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    exact = counts * share
    give = np.minimum(np.floor(exact).astype(np.int64), counts - 1)
    order = np.lexsort((rng.permutation(len(values)), give - exact))
    missing = round(share * len(classes)) - int(give.sum())
    for place in order:
        if missing <= 0:
            break
        if give[place] < counts[place] - 1:
            give[place] += 1
            missing -= 1
    shuffled = rng.permutation(len(classes))
    by_class = shuffled[np.argsort(inverse[shuffled], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(len(classes)) - np.repeat(starts, counts)
    mask = np.zeros(len(classes), bool)
    mask[by_class[rank < np.repeat(give, counts)]] = True
    return mask


def random(rows: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask (N,) of round(share * N) rows; one row at least stays out of it."""
    mask = np.zeros(rows, bool)
    mask[rng.permutation(rows)[: min(round(share * rows), max(rows - 1, 0))]] = True
    return mask


def grouped(groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return a mask (N,) of whole groups, taken in random order as long as they bring the cut nearer to its share."""
    values, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    wanted, have = share * len(groups), 0
    taken = np.zeros(len(values), bool)
    for place in rng.permutation(len(values))[: max(len(values) - 1, 0)]:
        if abs(have + counts[place] - wanted) <= abs(have - wanted):
            taken[place] = True
            have += int(counts[place])
    return taken[inverse]


def latest(times: np.ndarray, share: float) -> np.ndarray:
    """Return a mask (N,) of the round(share * N) latest rows; of equal times, the later rows."""
    mask = np.zeros(len(times), bool)
    count = min(round(share * len(times)), max(len(times) - 1, 0))
    mask[np.argsort(times, kind="stable")[len(times) - count :]] = True
    return mask


def codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return a number for each distinct value of a column, in the order of the values as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(column.type):
        column = pa.chunked_array([[None if v is None else repr(v) for v in column.to_pylist()]], pa.string())
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    encoded = encoded.unify_dictionaries() if isinstance(encoded, pa.ChunkedArray) else encoded
    rank = np.argsort(np.argsort(np.array([str(v) for v in encoded.dictionary.to_pylist()], dtype=object)))
    numbers: np.ndarray = rank[encoded.indices.to_numpy(zero_copy_only=False)]
    return numbers


def times(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Return a column of numbers or dates as numbers that sort by time.

    Raises:
        DataError: a value is missing, or is neither a number nor a date that can be told apart.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        raise DataError(f"Column '{name}' (data.split.time) lacks a value in {column.null_count} rows; mend them.")
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    for kind in (pa.int64(), pa.float64(), pa.timestamp("us")):
        try:
            numbers = column.cast(kind)
        except pa.ArrowException:
            continue
        return (numbers.cast(pa.int64()) if pa.types.is_temporal(kind) else numbers).to_numpy()
    for form in _DATES:
        try:
            return pc.strptime(column, form, "us").cast(pa.int64()).to_numpy()
        except pa.ArrowException:
            continue
    raise DataError(
        f"Column '{name}' (data.split.time) holds {column[0].as_py()!r}, which is neither a number nor a date with the "
        "year first; write dates as 2026-01-31."
    )


def from_column(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Return the split of each row, "train", "valid" or "test", from the words that people use for them.

    Raises:
        DataError: a value is none of them.
    """
    import pyarrow as pa

    values = [unicodedata.normalize("NFKC", str(v)).strip().casefold() for v in column.unique().to_pylist()]
    odd = [value for value in values if value not in NAMES]
    if odd:
        raise DataError(
            f"Column '{name}' (data.split.column) must name the split of each row; it holds {listing(sorted(odd))}. "
            f"Known: {listing(list(NAMES), 30)}."
        )
    meaning = dict(zip(column.unique().to_pylist(), (NAMES[value] for value in values), strict=True))
    return np.array(
        [meaning[value] for value in pa.chunked_array(column.chunks, column.type).to_pylist()], dtype=object
    )


def cut(
    by: str, share: float, seed: int, part: str, *, target: pa.ChunkedArray | None, column: pa.ChunkedArray | None,
    name: str | None, rows: int, keeps_each: bool = True,
) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
    """Return the mask of the rows that are cut off for `part`, and how it was done.

    Stratified, `keeps_each` says that each target keeps a row where it is; without it those that come once are one
    class together, which gives its share as any other.
    """
    rng = seeds.generator(seed, "split", part)
    facts: dict[str, Any] = {"by": by, "share": share, "seed": seed}
    if by == "group" and column is not None:
        return grouped(codes(column), share, rng), {**facts, "column": name}
    if by == "time" and column is not None:
        return latest(times(column, str(name)), share), {**facts, "column": name}
    if by == "stratified" and target is not None:
        classes = codes(target)
        _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
        if not keeps_each:
            classes = np.where(counts[inverse] == 1, -1, classes)
        # Targets that hardly ever repeat (scores, free text) have no classes to keep in proportion.
        if int(np.maximum(counts - 1, 0).sum()) >= 0.5 * rows:
            return stratified(classes, share, rng), facts
        facts |= {"by": "random", "why": "the targets hardly ever repeat, so that there is nothing to stratify by"}
    return random(rows, share, rng), facts


def divide(table: pa.Table, assigned: np.ndarray, names: Sequence[str]) -> Mapping[str, pa.Table]:
    """Return the rows of each split, in order; the table is taken apart batch by batch, never held twice."""
    import pyarrow as pa

    batches = table.to_batches()
    parts = {name: tables.Spool(table.schema) for name in names}
    del table
    tables.release()  # what finding the masks has read
    done = 0
    batches.reverse()
    for batch in tables.resting(batches.pop() for _ in range(len(batches))):
        here = assigned[done : done + batch.num_rows]
        done += batch.num_rows
        for name, found in parts.items():
            mask = here == name
            if mask.any():
                found.add(batch if mask.all() else batch.filter(pa.array(mask.astype(bool))))
    return {name: found.table() for name, found in parts.items()}
