"""Expanding: augmentations make more training rows before anything is tokenised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from graftlm.contracts.augmentation import Augmentation, Scene
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Example
from graftlm.core import hashing, seeds

if TYPE_CHECKING:
    import numpy as np


def expand(
    rows: Rows, augmentations: Sequence[Augmentation], seed: int, *, whole: bool = False, scene: Scene | None = None
) -> Rows:
    """Return the training rows after each augmentation in turn; a function of the rows, the seed and the scene's base.

    `whole` says that the truth belongs to the whole text, whatever its form: each new row then keeps it as it is. Rows
    whose truth names places that the scene can mark get it written as JSON, one form for all.
    """
    import pyarrow as pa

    scene = scene or Scene()
    examples = rows.examples()
    written = False
    for at, example in enumerate(examples):
        if (place := None if whole else scene.marked(example)) is not None:
            examples[at], written = place.example, True
    for number, augmentation in enumerate(augmentations):
        rng = seeds.generator(seed, "augmentation", number)
        if whole:
            examples = list(_whole(augmentation, examples, rng, scene))
        else:
            examples = list(augmentation.expand_all(examples, rng, scene))
    columns: dict[str, list[object]] = {
        name: [example.fields[name] for example in examples]
        for name in rows.table.column_names
        if name not in (ID, WHERE, rows.target)
    }
    if rows.target is not None:
        columns[rows.target] = [example.target for example in examples]
    columns[ID] = [example.id for example in examples]
    columns[WHERE] = [example.where for example in examples]
    schema = rows.table.schema.empty_table().select(list(columns)).schema
    if written and rows.target is not None:
        schema = schema.set(schema.get_field_index(rows.target), pa.field(rows.target, pa.string()))
    table = pa.table(columns, schema=schema)
    mark = hashing.of_value([rows.fingerprint, [a.as_use() for a in augmentations], seed])
    return Rows(rows.name, table, rows.target, mark)


def _whole(
    augmentation: Augmentation, examples: Sequence[Example], rng: np.random.Generator, scene: Scene
) -> Iterator[Example]:
    """Yield what becomes of examples whose truth is kept out of sight: in its place stands the number of the row."""
    numbered = [replace(example, target=str(at)) for at, example in enumerate(examples)]
    for new in augmentation.expand_all(numbered, rng, scene):
        yield replace(new, target=examples[int(new.target)].target)
