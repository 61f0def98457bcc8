"""Probe: the shared linear solution on frozen features."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.method import Linear
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError

ROWS = Rows("test", pa.table({"text": ["x", "y"], "label": ["a", "b"], ID: ["0", "1"], WHERE: ["", ""]}), "label", "0")


def setting(linear):
    task = registry.make("task", "classification")
    features = np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
    scratch = lambda: pytest.fail("not needed")  # noqa: E731
    return BaselineSetting(task, Space(("a", "b", "c"), 3), 0, lambda rows: features, lambda: linear, scratch)


def test_logits_are_features_times_weight_plus_bias():
    linear = Linear(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([0.5, 0.0, 0.0]), 1.0)
    baseline = registry.make("baseline", "probe")
    answers = baseline.fit(ROWS, setting(linear))(ROWS)
    assert [answer.value for answer in answers] == ["a", "b"]
    grown = np.exp([1.5, 0.0, 0.0])
    assert list(answers[0].detail["probabilities"].values()) == pytest.approx(grown / grown.sum())
    assert baseline.pretrained


def test_a_task_without_a_linear_head_is_told_so():
    with pytest.raises(UserError, match=r"'probe' cannot serve the task 'classification'.*evaluate\.baselines"):
        registry.make("baseline", "probe").fit(ROWS, setting(None))
