"""Paired differences: known p-values, calibrated under the null, the sign the same whichever way a metric points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from graftlm.core import registry
from graftlm.stages.evaluating import paired

TASK = registry.make("task", "classification")
MACRO = registry.make("task", {"use": "classification", "metric": "macro_f1"})
LOSS = registry.make("task", {"use": "classification", "metric": "log_loss"})


def grades(right, log_probability=-1.0):
    right = np.asarray(right)
    true = np.arange(len(right)) % 3
    column = np.broadcast_to(np.asarray(log_probability, dtype=float), len(right)).copy()
    return {"true": true, "predicted": np.where(right, true, (true + 1) % 3), "log_probability": column}


def test_accuracy_is_tested_by_the_exact_binomial_of_the_discordant_rows():
    first = np.array([True] * 12 + [False] * 3 + [True] * 85)
    second = np.array([False] * 12 + [True] * 3 + [True] * 85)
    found = paired(TASK, grades(first), grades(second), resamples=2000, seed=0)
    assert found.gain == pytest.approx(0.09)
    assert found.p_value == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert found.test == "McNemar, exact"
    assert 0 < found.low < 0.09 < found.high < 0.18
    deviation = np.std(first.astype(int) - second) / 10
    assert found.high - found.low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_equal_answers_differ_by_nothing():
    same = grades([True, False] * 20)
    found = paired(TASK, same, same, resamples=200, seed=0)
    assert (found.gain, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert paired(MACRO, same, same, resamples=200, seed=0).p_value == 1


def test_swapping_the_two_turns_the_sign():
    rng = np.random.default_rng(0)
    one, two = (grades(rng.random(200) < share) for share in (0.9, 0.7))
    for task in (TASK, MACRO):
        there, back = paired(task, one, two, resamples=500, seed=0), paired(task, two, one, resamples=500, seed=0)
        assert there.gain == pytest.approx(-back.gain)
        assert there.low == pytest.approx(-back.high)
        assert there.p_value == pytest.approx(back.p_value, abs=0.01)


def test_a_clear_difference_is_found_by_the_randomisation_test():
    rng = np.random.default_rng(0)
    found = paired(MACRO, grades(rng.random(300) < 0.9), grades(rng.random(300) < 0.6), resamples=1000, seed=0)
    assert found.p_value == pytest.approx(1 / 2001)
    assert found.test == "approximate randomisation"


def test_a_lower_loss_is_a_gain():
    found = paired(LOSS, grades([True] * 50, -0.1), grades([True] * 50, -0.5), resamples=100, seed=0)
    assert found.gain == pytest.approx(0.4)


def test_the_randomisation_test_is_calibrated_where_nothing_differs():
    p_values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        pair = (grades(rng.random(60) < 0.7) for _ in range(2))
        p_values.append(paired(MACRO, *pair, resamples=100, seed=seed).p_value)
    assert 0.3 < np.mean(p_values) < 0.75
    assert np.mean(np.array(p_values) < 0.05) < 0.2


def test_other_rows_are_refused():
    with pytest.raises(ValueError, match="same columns and rows"):
        paired(TASK, grades([True] * 5), grades([True] * 4), resamples=100, seed=0)
