"""Encoding: rows become packed sequences with their targets, and what was cut off is counted."""

from __future__ import annotations

import pytest

from graftlm.core import registry
from graftlm.stages.training import encoding

TASK = registry.make("task", "classification")


@pytest.fixture
def tokenizer():
    return registry.make("backbone", "tiny").open().tokenizer


def test_sequences_equal_the_tokenizers_own(make_rows, tokenizer, monkeypatch):
    rows = make_rows(15)
    space = TASK.space(rows)
    monkeypatch.setattr(type(rows), "chunks", lambda self, size=4: (self.examples(n, n + 4) for n in range(0, 15, 4)))
    found = encoding.encode(rows, TASK, tokenizer, space, 128)
    expected = tokenizer(rows.column("text"))["input_ids"]
    assert [found.packed.batch([n], 0)["input_ids"][0].tolist() for n in range(15)] == expected
    assert [space.labels[target] for target in found.targets] == rows.column("label")
    assert found.tokens == sum(map(len, expected))
    assert found.truncated == 0


def test_what_is_cut_off_is_counted(make_rows, tokenizer):
    rows = make_rows(15)
    found = encoding.encode(rows, TASK, tokenizer, TASK.space(rows), 12)
    assert found.packed.lengths.max() == 12
    assert found.truncated == sum(len(ids) > 12 for ids in tokenizer(rows.column("text"))["input_ids"])


def test_held_rows_are_tokenised_once(make_rows, tokenizer):
    held = encoding.hold(make_rows(5), TASK, tokenizer, 128)
    assert [example.id for example in held.examples] == ["0", "1", "2", "3", "4"]
    assert [one.row for one in held.inputs] == [0, 1, 2, 3, 4]
