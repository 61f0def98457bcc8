"""Rows most confidently wrong."""

from __future__ import annotations

import json

import numpy as np

from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.stages.evaluating import confidently_wrong

TASK = registry.make("task", "classification")
SPACE = Space(("a", "b"), 2)


def test_wrong_rows_stand_from_the_most_confident_down():
    examples = [
        Example(str(i), {"text": f"t{i}" * 400, "text_pair": "p"}, label, f"x.csv:{i}")
        for i, label in enumerate("abba")
    ]
    logits = np.array([[0, 1.0], [5.0, 0], [0, 5.0], [0, 3.0]])
    answers = [TASK.decode(example, [], [row], SPACE) for example, row in zip(examples, logits, strict=True)]
    grades = TASK.grade(answers, examples, SPACE)
    found = confidently_wrong(TASK, answers, examples, grades)
    assert [row["id"] for row in found] == ["1", "3", "0"]
    assert json.loads(json.dumps(found)) == found
    assert (found[0]["where"], found[0]["true"], found[0]["predicted"]) == ("x.csv:1", "b", "a")
    assert found[0]["probability"] > found[1]["probability"] > found[2]["probability"]
    assert len(found[0]["text"]) == 601
    assert confidently_wrong(TASK, answers, examples, grades, most=1) == found[:1]
