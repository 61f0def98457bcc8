"""The commonest place: counted by hand, and never one that a row does not have."""

from __future__ import annotations

import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.core import registry
from graftlm.core.errors import UserError

TASK = registry.make("task", "multiple_choice")


def rows(found):
    number = [str(n) for n in range(len(found))]
    columns = {"question": ["q"] * len(found), "choices": [c for c, _ in found], "answer": [a for _, a in found]}
    return Rows("train", pa.table({**columns, ID: number, WHERE: number}), "answer", "0")


def test_the_commonest_place_is_answered_with_its_share():
    train = rows([(["a", "b", "c"], "C"), (["a", "b", "c"], "C"), (["a", "b", "c"], "B")])
    setting = BaselineSetting(TASK, TASK.space(train), 0, None, None, None)
    answer = registry.make("baseline", "choice_position").fit(train, setting)
    found = answer(rows([(["x", "y", "z"], "A"), (["x", "y"], "A")]))
    assert [one.value for one in found] == ["C", "B"]
    assert found[0].confidence == pytest.approx(2 / 3.5)


def test_a_task_without_choices_is_refused():
    train = Rows("train", pa.table({"text": ["a"], "label": ["b"], ID: ["1"], WHERE: ["1"]}), "label", "0")
    setting = BaselineSetting(registry.make("task", "classification"), None, 0, None, None, None)
    for name in ("choice_position", "choice_words"):
        with pytest.raises(UserError, match="needs choices; task 'classification' has none"):
            registry.make("baseline", name).fit(train, setting)
