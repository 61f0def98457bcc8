"""From a source's columns to a task's roles: texts and targets as text, ids and places beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts.reader import BadRows, Corpus, RowFault, plain
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.task import Role, Task
from graftlm.core.errors import DataError, listing
from graftlm.stages.reading.columns import Columns, Named, flat
from graftlm.stages.reading.nested import single, together

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Shaped:
    """A source in a task's terms: roles, ids and places; the columns that splits are made by; rows left out."""

    table: pa.Table
    extras: dict[str, pa.ChunkedArray]
    faults: tuple[RowFault, ...]


def target_role(task: Task) -> str | None:
    """Return the name of the role that holds the truth, or None."""
    return next((role.name for role in task.roles if role.kind == "target"), None)


def shape(
    corpus: Corpus,
    task: Task,
    columns: Columns,
    *,
    need_target: bool,
    bad_rows: BadRows = "stop",
    extras: Sequence[str] = (),
    before: int = 0,
) -> Shaped:
    """Return a source in a task's terms; `before` counts the rows of earlier pieces of the same source.

    Raises:
        DataError: a row lacks its target, `need_target` is set and `bad_rows` is "stop"; or a role that is one value
            has lists, mappings or several columns.
    """
    import pyarrow as pa

    source = corpus.table
    arrays: dict[str, Any] = {
        name: _role(source, role, columns.roles[name], task, corpus.source)
        for name, role in {role.name: role for role in task.roles}.items()
        if name in columns.roles
    }
    numbers = pa.array((ordinals(corpus) + before).astype(str), pa.string())
    arrays[ID] = numbers if columns.id is None else _ids(text(source.column(columns.id)), numbers)
    arrays[WHERE] = places(corpus)
    beside = {name: source.column(name) for name in extras}
    table = pa.table(arrays)
    faults: tuple[RowFault, ...] = ()
    target = next((role for role in task.roles if role.kind == "target" and role.name in columns.roles), None)
    if need_target and target is not None and not target.blank:
        lacking = _blank(table.column(target.name))
        if lacking.any():
            name = _first_blank(table.column(target.name), lacking) or flat([columns.roles[target.name]])[0]
            faults = _lost(table, lacking, name, target.empty, bad_rows)
            keep = pa.array(~lacking)
            table = table.filter(keep)
            beside = {name: column.filter(keep) for name, column in beside.items()}
    return Shaped(table, beside, faults)


def sound(shaped: Shaped, task: Task, columns: Columns | None = None, *, bad_rows: BadRows = "stop") -> Shaped:
    """Leave out the rows that the task finds a fault in; which `columns` were guessed is told beside it.

    Raises:
        DataError: there are some, and `bad_rows` is "stop".
    """
    import pyarrow as pa

    if type(task).fault is Task.fault:
        return shaped
    target = target_role(task)
    rows = Rows("rows", shaped.table, target if target in shaped.table.column_names else None, "")
    faults: list[RowFault] = []
    keep: list[bool] = []
    for chunk in rows.chunks():
        for example in chunk:
            reason = task.fault(example)
            keep.append(reason is None)
            if reason is not None:
                faults.append(RowFault(example.where, reason))
    if not faults:
        return shaped
    if bad_rows == "stop":
        more = f" {len(faults) - 1} more rows have faults." if len(faults) > 1 else ""
        raise DataError(
            f"{faults[0].where}: {faults[0].reason}.{more} Mend the row, or set data.bad_rows to 'skip' to leave such "
            f"rows out and count them.{_guessed(columns)}"
        )
    mask = pa.array(keep)
    beside = {name: column.filter(mask) for name, column in shaped.extras.items()}
    return Shaped(shaped.table.filter(mask), beside, (*shaped.faults, *faults))


def _guessed(columns: Columns | None) -> str:
    """Return which columns were chosen by what they hold, as a sentence."""
    known = {} if columns is None else columns.roles
    why = {} if columns is None else columns.why
    guessed = [
        f"{listing(flat([name]))} as {role}"
        for role, name in known.items()
        if not why[role].startswith(("named by", "by its name"))
    ]
    return (
        f" Columns were guessed from their contents: {', '.join(guessed)}; data.columns names them." if guessed else ""
    )


def text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column's scalars as text, 1.0 as "1"; lists and mappings stay what they are."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_nested(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    parts = [pa.array([plain(value) for value in chunk.to_pylist()], pa.string()) for chunk in column.chunks]
    return pa.chunked_array(parts, pa.string())


def _role(table: pa.Table, role: Role, name: Named, task: Task, source: str) -> Any:
    """Return the column of a role; several where it has several."""
    if isinstance(name, str):
        return single(text(table.column(name)), role, name, task.name(), source)
    if len(name) > 1 and role.spread == "no" and not role.nested:
        return together([text(table.column(one)) for one in name], role, name, task.name(), source)
    return _side_by_side(table, name)


def _side_by_side(table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Return several columns as one of mappings from column to value."""
    import pyarrow as pa

    parts = [text(table.column(name)).combine_chunks() for name in names]
    return pa.chunked_array([pa.StructArray.from_arrays(parts, list(names))])


def ordinals(corpus: Corpus) -> np.ndarray:
    """Return the number of each row in its source, from 1, rows that were left out counted too."""
    numbers = np.arange(1, corpus.table.num_rows + 1)
    lost = [int(found[1]) for fault in corpus.skipped if (found := re.search(r":(\d+)$", fault.where))]
    if lost and corpus.lines is not None and str(corpus.lines.type) == "int64":
        numbers = numbers + np.searchsorted(np.sort(lost), corpus.lines.to_numpy())
    return numbers


def places(corpus: Corpus) -> pa.Array:
    """Return the place of each row as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = corpus.lines
    if lines is None:
        lines = pa.array(np.arange(1, corpus.table.num_rows + 1))
    mark = "/" if pa.types.is_string(lines.type) else ":"
    return pc.binary_join_element_wise(pa.scalar(corpus.source), lines.cast(pa.string()), mark)


def _ids(given: Any, numbers: pa.Array) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(given.type):
        return numbers
    return pc.coalesce(given, pa.chunked_array([numbers])) if given.null_count else given


def _blank(column: pa.ChunkedArray) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        column = pc.equal(pc.utf8_trim_whitespace(column), "")
        return pc.fill_null(column, True).to_numpy(zero_copy_only=False).astype(bool)
    if pa.types.is_struct(column.type):  # several columns: empty where any of them is
        parts = [_blank(pa.chunked_array(pc.struct_field(column, i).chunks)) for i in range(column.type.num_fields)]
        return np.logical_or.reduce(parts)
    return pc.is_null(column).to_numpy(zero_copy_only=False).astype(bool)


def _first_blank(column: pa.ChunkedArray, lacking: np.ndarray) -> str | None:
    """Return the name of the column, of several that make up a role, that is empty in the first row that lacks one."""
    import pyarrow as pa

    if not pa.types.is_struct(column.type):
        return None
    first = column.slice(int(lacking.argmax()), 1).to_pylist()[0] or {}
    return next((name for name, value in first.items() if value is None or not str(value).strip()), None)


def _lost(table: pa.Table, lacking: np.ndarray, name: str, empty: str, bad_rows: BadRows) -> tuple[RowFault, ...]:
    where = table.column(WHERE).filter(lacking).to_pylist()
    if bad_rows == "stop":
        more = f" (and {len(where) - 1} more rows)" if len(where) > 1 else ""
        hint = f" ({empty})" if empty else ""
        raise DataError(
            f"{where[0]}: column '{name}' is empty{more}; expected the row's target. Fill it in{hint}, or set "
            "data.bad_rows to 'skip' to leave such rows out and count them."
        )
    return tuple(RowFault(place, f"column '{name}' is empty") for place in where)
