from __future__ import annotations

import numpy as np
import pytest
import torch

from graftlm.core import registry


def test_two_tasks_give_the_known_sum(step):
    # [[1, 0], [-.5, 1]]: each loses its projection on the other; the sum is (0.8, 1.4)
    _, balanced = step
    rows = torch.tensor([[1.0, 0.0], [-0.5, 1.0]], dtype=torch.float64)
    weights = registry.make("balancer", "pcgrad").weights_after(balanced(rows.tolist()))
    assert (torch.tensor(list(weights.values()), dtype=torch.float64) @ rows).tolist() == pytest.approx([0.8, 1.4])


def test_two_tasks_equal_torchjd(step):
    from torchjd.aggregation import PCGrad

    _, balanced = step
    for seed in range(20):
        rows = torch.tensor(np.random.default_rng(seed).normal(size=(2, 5)))
        weights = registry.make("balancer", "pcgrad").weights_after(balanced(rows.tolist()))
        ours = torch.tensor(list(weights.values()), dtype=torch.float64) @ rows
        assert torch.allclose(ours, PCGrad()(rows), atol=1e-9)


def test_many_tasks_equal_the_algorithm_on_the_gradients_themselves(step):
    planned, balanced = step
    rows = np.random.default_rng(3).normal(size=(4, 6))
    rng = np.random.default_rng(7)
    total = np.zeros(6)
    for i in range(4):
        mine = rows[i].copy()
        for j in rng.permutation(4):
            if j != i and mine @ rows[j] < 0:
                mine -= (mine @ rows[j]) / (rows[j] @ rows[j]) * rows[j]
        total += mine
    balance = balanced(rows.tolist(), (1.0,) * 4, plan=planned(seed=7))
    weights = registry.make("balancer", "pcgrad").weights_after(balance)
    assert np.array(list(weights.values())) @ rows == pytest.approx(total, abs=1e-9)


def test_gradients_without_conflict_just_add_up(step):
    _, balanced = step
    weights = registry.make("balancer", "pcgrad").weights_after(balanced([[1.0, 0.2], [0.5, 1.0]]))
    assert weights == {"a": 1.0, "b": 1.0}
