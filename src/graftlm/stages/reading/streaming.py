"""Reading in constant memory, for answering: one chunk of examples after the other, ids and places kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from graftlm.contracts.reader import BadRows, Reader, RowFault
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Example
from graftlm.core import log
from graftlm.stages.reading.columns import Columns, choose, flat
from graftlm.stages.reading.nested import with_parts
from graftlm.stages.reading.shaping import shape, sound, target_role
from graftlm.stages.reading.sources import find
from graftlm.stages.reading.whole import check_rows

CHUNK = 4096


def stream(
    source: Any,
    task: Task,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    reader: Reader | None = None,
    bad_rows: BadRows = "stop",
    *,
    size: int = CHUNK,
    on_fault: Callable[[RowFault], None] | None = None,
) -> Iterator[list[Example]]:
    """Yield examples in input order, at most `size` at a time; `source` may be "-", standard input.

    An example's id is that of the column called id (ID, guid, 编号, ...) or named so in `columns`, else
    the row's number in the source, from 1. No target is needed. Columns are chosen by the first piece.
    `on_fault` hears of each row that is left out or kept in part; without it the log does.

    Raises:
        DataError: the source cannot be read, has no rows or lacks a text column; a row is broken and
            `bad_rows` is "stop".
    """
    hear = on_fault or (lambda fault: log.warn(f"{fault.where}: {fault.reason}."))
    reader, source = find(source, reader)
    chosen: Columns | None = None
    before = 0
    for corpus in reader.pieces(source, bad_rows=bad_rows):
        corpus = replace(corpus, table=with_parts(corpus.table, columns or {}))
        if chosen is None:
            check_rows(corpus)
            numbered = corpus.facts.get("header", "").startswith("none")
            chosen = choose(corpus.table, task, columns or {}, corpus.source, need_target=False, by_name=not numbered)
        for fault in (*corpus.skipped, *corpus.mended):
            hear(fault)
        if corpus.table.num_rows:
            shaped = shape(_even(corpus, chosen), task, chosen, need_target=False, before=before)
            shaped = sound(shaped, task, chosen, bad_rows=bad_rows)
            for fault in shaped.faults:
                hear(fault)
            table = shaped.table
            target = target_role(task)
            rows = Rows("stream", table, target if target in table.column_names else None, "")
            yield from rows.chunks(size)
        before += corpus.read


def _even(corpus: Any, chosen: Columns) -> Any:
    """Give a piece that lacks an optional column (JSON lines may) that column, empty."""
    import pyarrow as pa

    table = corpus.table
    for name in {*flat(chosen.roles.values()), *([chosen.id] if chosen.id else [])} - set(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return replace(corpus, table=table)
