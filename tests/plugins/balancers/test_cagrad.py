from __future__ import annotations

import numpy as np
import pytest

from graftlm.core import registry


def direction(step, rows, **options):
    _, balanced = step
    weights = registry.make("balancer", {"use": "cagrad", **options}).weights_after(
        balanced(rows.tolist(), (1.0,) * len(rows))
    )
    return np.array(list(weights.values())) @ rows


@pytest.mark.parametrize("seed", range(8))
def test_no_direction_in_the_ball_serves_the_worst_off_task_better(step, seed):
    # the problem that the paper starts from (equation 3), searched on a fine circle for two parameters
    rows, c = np.random.default_rng(seed).normal(size=(3, 2)), 0.5
    found = direction(step, rows, c=c, rescale=False) / 3
    mean = rows.mean(axis=0)
    radius = c * np.linalg.norm(mean)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    candidates = np.concatenate([mean + share * radius * circle for share in np.linspace(0, 1, 41)])
    best = (candidates @ rows.T).min(axis=1).max()
    assert np.linalg.norm(found - mean) <= radius * (1 + 1e-6)
    assert (rows @ found).min() == pytest.approx(best, abs=2e-3 * max(1.0, abs(best)))


def test_c_of_nought_is_the_plain_sum(step):
    rows = np.random.default_rng(0).normal(size=(3, 4))
    assert direction(step, rows, c=0.0) == pytest.approx(rows.sum(axis=0), abs=1e-9)


def test_rescaling_divides_by_one_and_c_squared(step):
    rows = np.random.default_rng(1).normal(size=(2, 4))
    assert 1.25 * direction(step, rows, c=0.5) == pytest.approx(direction(step, rows, c=0.5, rescale=False), abs=1e-9)
