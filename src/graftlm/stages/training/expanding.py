"""Expanding: augmentations make more training rows before anything is tokenised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graftlm.contracts.augmentation import Augmentation
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.core import hashing, seeds


def expand(rows: Rows, augmentations: Sequence[Augmentation], seed: int, *, whole: bool = False) -> Rows:
    """Return the training rows after each augmentation in turn; a function of the rows and the seed.

    `whole` says that the truth belongs to the whole text, whatever its form: each new row then keeps it as it is.
    """
    import pyarrow as pa

    examples = rows.examples()
    for number, augmentation in enumerate(augmentations):
        rng = seeds.generator(seed, "augmentation", number)
        if whole:
            examples = [
                replace(new, target=example.target)
                for example in examples
                for new in augmentation.expand(replace(example, target=None), rng)
            ]
        else:
            examples = [new for example in examples for new in augmentation.expand(example, rng)]
    columns: dict[str, list[object]] = {
        name: [example.fields[name] for example in examples]
        for name in rows.table.column_names
        if name not in (ID, WHERE, rows.target)
    }
    if rows.target is not None:
        columns[rows.target] = [example.target for example in examples]
    columns[ID] = [example.id for example in examples]
    columns[WHERE] = [example.where for example in examples]
    table = pa.table(columns, schema=rows.table.schema.empty_table().select(list(columns)).schema)
    mark = hashing.of_value([rows.fingerprint, [a.as_use() for a in augmentations], seed])
    return Rows(rows.name, table, rows.target, mark)
