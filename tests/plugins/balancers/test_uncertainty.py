from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_weights_and_gradients_are_those_of_the_formula(step, factor):
    _, balanced = step
    balancer = registry.make("balancer", {"use": "uncertainty", "factor": factor})
    state = balancer.start(["a", "b"])
    with torch.no_grad():
        state["s of a"].fill_(0.3)
        state["s of b"].fill_(-0.7)
    losses = {"a": 1.7, "b": 0.4}
    s = {name: state[f"s of {name}"].detach().clone().requires_grad_() for name in losses}
    total = sum(factor * (-s[name]).exp() * loss + s[name] / 2 for name, loss in losses.items())
    total.backward()
    balance = balanced([[1.0], [1.0]], tuple(losses.values()), state)
    assert balancer.weights(["a", "b"], balance.plan, state) == pytest.approx(
        {name: factor * float((-s[name].detach()).exp()) for name in losses}, rel=1e-6
    )
    balancer.learn(balance)
    for name in losses:
        assert float(state[f"s of {name}"].grad) == pytest.approx(float(s[name].grad), abs=1e-6)


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
