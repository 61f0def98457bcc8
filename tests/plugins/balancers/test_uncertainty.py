from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_weights_and_steps_are_those_of_the_formula_under_torchs_adam(step, factor):
    _, balanced = step
    balancer = registry.make("balancer", {"use": "uncertainty", "factor": factor, "rate": 0.05})
    state = balancer.start(["a", "b"])
    state.value.copy_(torch.tensor([0.3, -0.7]))
    s = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    oracle = torch.optim.Adam([s], lr=0.05)
    for losses in ((1.7, 0.4), (1.5, 0.45), (0.3, 0.2), (0.2, 0.1)):
        balance = balanced([[1.0], [1.0]], losses, state)
        assert balancer.weights(["a", "b"], balance.plan, state) == pytest.approx(
            dict(zip("ab", (factor * (-s).exp()).tolist(), strict=True)), rel=1e-6
        )
        oracle.zero_grad()
        (factor * (-s).exp() * torch.tensor(losses) + s / 2).sum().backward()
        oracle.step()
        balancer.learn(balance)
        assert state.value.tolist() == pytest.approx(s.tolist(), abs=1e-6)


def test_the_half_is_torchjds(step):
    from torchjd.scalarization import UW

    _, balanced = step
    balancer = registry.make("balancer", {"use": "uncertainty", "factor": 0.5})
    state = balancer.start(["a", "b"])
    oracle = UW(2)
    losses = torch.tensor([1.7, 0.4], requires_grad=True)
    oracle(losses).backward()
    weights = balancer.weights(["a", "b"], balanced([[1.0], [1.0]]).plan, state)
    assert list(weights.values()) == pytest.approx(losses.grad.tolist(), abs=1e-6)


def test_a_short_run_comes_to_where_the_formula_is_smallest(step):
    """A hundred updates, a few epochs of a small task, are enough: e^(-s) L = 1/2 at the minimum."""
    _, balanced = step
    balancer = registry.make("balancer", "uncertainty")
    state = balancer.start(["a", "b"])
    for _ in range(100):
        balancer.learn(balanced([[1.0], [1.0]], (1.5, 0.2), state))
    weights = balancer.weights(["a", "b"], balanced([[1.0], [1.0]]).plan, state)
    assert weights == pytest.approx({"a": 0.5 / 1.5, "b": 0.5 / 0.2}, rel=0.1)
