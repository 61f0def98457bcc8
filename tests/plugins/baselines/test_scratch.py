"""Scratch: hands the work to the run's own training, from random weights."""

from __future__ import annotations

import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.values import Answer, Space
from graftlm.core import registry


def test_its_answers_are_those_of_the_model_trained_from_random_weights():
    calls = []

    def scratch():
        calls.append("trained")
        return lambda rows: [Answer(f"of {row}") for row in rows]

    unused = lambda *_: pytest.fail("not needed")  # noqa: E731
    setting = BaselineSetting(registry.make("task", "classification"), Space(("a", "b"), 2), 0, unused, unused, scratch)
    baseline = registry.make("baseline", "scratch")
    fitted = baseline.fit(None, setting)
    assert [answer.value for answer in fitted(["x", "y"])] == ["of x", "of y"]
    assert calls == ["trained"]
    assert not baseline.pretrained
