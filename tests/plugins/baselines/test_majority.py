"""Majority: the classes' shares, whatever the text."""

from __future__ import annotations

import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.core import registry


def rows(labels):
    number = range(len(labels))
    columns = {
        "text": [f"t{i}" for i in number],
        "label": labels,
        ID: [str(i) for i in number],
        WHERE: [""] * len(labels),
    }
    return Rows("train", pa.table(columns), "label", "0")


def test_answers_are_the_shares_of_the_classes():
    task, train = registry.make("task", "classification"), rows(["a", "b", "b", "b"])
    setting = BaselineSetting(task, task.space(train), 0, *[lambda *_: pytest.fail("not needed")] * 3)
    baseline = registry.make("baseline", "majority")
    answers = baseline.fit(train, setting)(rows(["a", "a"]))
    assert [answer.value for answer in answers] == ["b", "b"]
    assert answers[0].detail["probabilities"] == pytest.approx({"a": 0.25, "b": 0.75})
    assert not baseline.pretrained
