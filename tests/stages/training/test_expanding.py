"""Expanding: augmentations make more training rows, the same ones for the same seed."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pyarrow as pa
import pytest

from graftlm.contracts.augmentation import Augmentation
from graftlm.contracts.rows import Rows
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.stages.training.expanding import expand


class Twice(Augmentation):
    """Keeps an example and adds one with its words shuffled."""

    source: ClassVar[str] = "test"

    def expand(self, example, rng):
        words = example.fields["text"].split()
        yield example
        text = " ".join(words[n] for n in rng.permutation(len(words)))
        yield dataclasses.replace(example, fields={"text": text}, id=f"{example.id}+")


class Drops(Augmentation):
    """Drops half of the examples."""

    source: ClassVar[str] = "test"

    def expand(self, example, rng):
        if rng.random() < 0.5:
            yield example


def test_rows_are_expanded_in_order_with_their_targets(make_rows):
    rows = make_rows(6)
    more = expand(rows, [Twice()], seed=0)
    assert len(more) == 12
    assert [example.id for example in more.examples()][:4] == ["0", "0+", "1", "1+"]
    for old, new in zip([e for e in rows.examples() for _ in (0, 1)], more.examples(), strict=True):
        assert new.target == old.target
        assert new.where == old.where
        assert sorted(new.fields["text"].split()) == sorted(old.fields["text"].split())
    assert more.table.schema == rows.table.schema.empty_table().select(more.table.column_names).schema
    assert more.name == rows.name
    assert more.target == rows.target


def test_it_is_a_function_of_rows_and_seed(make_rows):
    rows = make_rows(9)
    first, second, third = (expand(rows, [Twice()], seed=seed) for seed in (1, 1, 2))
    assert first.table == second.table
    assert first.fingerprint == second.fingerprint != rows.fingerprint
    assert first.table != third.table
    assert first.fingerprint != third.fingerprint


def test_augmentations_follow_each_other(make_rows):
    assert len(expand(make_rows(5), [Twice(), Twice()], seed=0)) == 20
    assert 0 < len(expand(make_rows(15), [Drops()], seed=0)) < 15


def test_rows_stay_as_they_were(make_rows):
    rows = make_rows(4)
    before = rows.table
    expand(rows, [Twice()], seed=0)
    assert rows.table is before


def test_a_list_of_labels_that_belongs_to_the_whole_text_stays(make_rows):
    rows = make_rows(4)
    labels = pa.array([["a", "b"], [], ["c"], ["a"]])
    rows = Rows("train", rows.table.set_column(rows.table.column_names.index("label"), "label", labels), "label", "0")
    swap = registry.make("augmentation", {"use": "word_swap", "rate": 1.0})
    more = expand(rows, [swap], seed=0, whole=True)
    assert len(more) > 4
    assert {tuple(one.target) for one in more.examples()} == {("a", "b"), (), ("c",), ("a",)}
    with pytest.raises(UserError, match="may name places in the text"):
        expand(rows, [swap], seed=0)
