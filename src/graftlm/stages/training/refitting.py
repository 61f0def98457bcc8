"""Refitting: training and validation rows become one split, once everything is chosen."""

from __future__ import annotations

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Space
from graftlm.core import hashing, log


def joined(first: Rows, second: Rows, task: Task, space: Space) -> Rows:
    """Return the rows of both, without those of the second whose label the space does not hold."""
    import pyarrow as pa

    if second.target is not None:
        kept = [number for number, example in enumerate(second.examples()) if task.knows(example, space)]
        if len(kept) < len(second):
            log.note(f"refit: {len(second) - len(kept)} validation rows are left out: no training row has their truth")
        second = second.take(kept)
    names = [name for name in first.table.column_names if name in second.table.column_names]
    parts = [first.table.select(names), second.table.select(names)]
    table = pa.concat_tables(parts, promote_options="permissive")  # lists that are all empty have no type yet
    return Rows("train", table, first.target, hashing.of_value([first.fingerprint, second.fingerprint]))
