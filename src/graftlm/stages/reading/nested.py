"""Lists, mappings and several columns where a role holds one text: put together, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graftlm.contracts.task import Role
from graftlm.core import words
from graftlm.core.errors import DataError, listing

if TYPE_CHECKING:
    import pyarrow as pa


def with_parts(table: pa.Table, named: Mapping[str, str | Sequence[str]]) -> pa.Table:
    """Return a table with a column for each part of a mapping that a name with a dot asks for: `translation.en`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for given in named.values():
        for name in [given] if isinstance(given, str) else given:
            head, *parts = name.split(".")
            if name in table.column_names or not parts or head not in table.column_names:
                continue
            column = table.column(head)
            for part in parts:
                kind = column.type
                if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
                    break
                column = pc.struct_field(column, part)
            else:
                table = table.append_column(name, column)
    return table


def single(column: pa.ChunkedArray, role: Role, name: str, task: str, source: str) -> pa.ChunkedArray:
    """Return a column of a role that holds one value a row; lists of words become the text that they make.

    Raises:
        DataError: it holds mappings, or lists that are no words of one text.
    """
    import pyarrow as pa

    kind = column.type
    if role.nested or not pa.types.is_nested(kind):
        return column
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if listed and role.kind != "target" and not pa.types.is_nested(kind.value_type):
        parts = [pa.array([_joined(value) for value in chunk.to_pylist()], pa.string()) for chunk in column.chunks]
        return pa.chunked_array(parts, pa.string())
    shown = next((str(value) for value in column.to_pylist() if value), "nothing")[:60]
    what = "lists" if listed else "mappings"
    inside = [] if listed else [f"{name}.{kind.field(place).name}" for place in range(kind.num_fields)]
    hint = f" A part of it may be named: {listing(inside)}." if inside else ""
    if listed and role.kind == "target":
        hint = " Several labels for a text are what the task 'multilabel' is made for."
    raise DataError(
        f"{source}: column '{name}' holds {what}, such as {shown}; the task '{task}' expects one "
        f"{'text' if role.kind == 'text' else 'value'} a row as '{role.name}' ({role.about}). Name another column with "
        f"data.columns, {{{role.name}: COLUMN}}.{hint}"
    )


def together(columns: Sequence[pa.ChunkedArray], role: Role, names: Sequence[str], task: str, source: str) -> Any:
    """Return several columns as the one that a role has: texts one below the other, blank ones left out.

    Raises:
        DataError: the role holds a truth that is one value.
    """
    import pyarrow as pa

    if role.kind == "target":
        raise DataError(
            f"{source}: the task '{task}' expects one column as '{role.name}' ({role.about}); got {listing(names)}. "
            f"Name one with data.columns, {{{role.name}: COLUMN}}."
        )
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.chunked_array([pa.array(["\n".join(t for t in row if t and t.strip()) for row in rows], pa.string())])


def _joined(value: Sequence[Any] | None) -> str | None:
    return None if value is None else words.join(["" if one is None else str(one) for one in value])[0]
