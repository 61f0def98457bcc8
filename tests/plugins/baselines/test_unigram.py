"""Token frequencies, against counting by hand."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import Rows
from graftlm.core import registry
from graftlm.core.errors import UserError


def rows_of(texts):
    numbers = [str(n) for n in range(len(texts))]
    return Rows("train", pa.table({"prompt": texts, "__id__": numbers, "__where__": numbers}), None, "0" * 64)


def setting(task, tokenizer):
    return BaselineSetting(task, task.space(None), 0, None, None, None, tokenizer)


def test_likelihoods_are_those_of_counts():
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "gpt2"}).open().tokenizer
    task = registry.make("task", {"use": "generation", "form": "text"})
    fitted = registry.make("baseline", "unigram").fit(rows_of(["aab", "a"]), setting(task, tokenizer))
    (answer,) = fitted(rows_of(["abc"]))
    # 3 a, 1 b, 2 endings and one more of each of 261 tokens
    total = 6 + 261
    expected = -sum(math.log(count / total) for count in (4, 2, 1, 3))
    assert answer.detail["nll"] == pytest.approx(expected)
    assert answer.detail["tokens"] == 4
    graded = task.grade([answer], rows_of(["abc"]).examples(), task.space(None))
    assert task.primary.compute(graded) == pytest.approx(math.exp(expected / 4))


def test_tasks_that_write_nothing_are_refused():
    task = registry.make("task", "classification")
    table = rows_of(["a", "b"])
    bare = BaselineSetting(task, None, 0, None, None, None, None)
    with pytest.raises(UserError, match="which writes nothing"):
        registry.make("baseline", "unigram").fit(table, bare)
