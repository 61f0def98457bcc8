from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


def test_one_step_is_the_papers(step):
    _, balanced = step
    balancer = registry.make("balancer", {"use": "gradnorm", "alpha": 1.5, "rate": 0.01})
    state = balancer.start(["a", "b"])
    gradients = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    first = balancer.weights_after(balanced(gradients.tolist(), (2.0, 1.0), state))
    assert first == {"a": 1.0, "b": 1.0}
    # by autograd: the loss of equation 2 with its target held fixed, then w scaled to add up to 2
    norms = gradients.norm(dim=1)
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    target = (w * norms).mean().detach() * torch.ones(2, dtype=torch.float64) ** 1.5
    (w * norms - target).abs().sum().backward()
    expected = w.detach() - 0.01 * w.grad / norms.mean()
    expected = 2 * expected / expected.sum()
    second = balancer.weights_after(balanced(gradients.tolist(), (1.0, 0.9), state))
    assert list(second.values()) == pytest.approx(expected.tolist(), abs=1e-9)


def test_even_gradients_of_tasks_at_like_speed_stay_as_they_are(step):
    _, balanced = step
    balancer = registry.make("balancer", "gradnorm")
    state = balancer.start(["a", "b"])
    for losses in ((1.0, 2.0), (0.5, 1.0), (0.25, 0.5)):
        weights = balancer.weights_after(balanced([[1.0, 0.0], [0.0, 1.0]], losses, state))
    assert list(weights.values()) == pytest.approx([1.0, 1.0], abs=1e-9)


def test_the_task_with_small_gradients_gains_weight(step):
    _, balanced = step
    balancer = registry.make("balancer", "gradnorm")
    state = balancer.start(["a", "b"])
    for _ in range(200):
        weights = balancer.weights_after(balanced([[10.0, 0.0], [0.0, 1.0]], (1.0, 1.0), state))
    assert weights["b"] / weights["a"] == pytest.approx(10.0, rel=0.3)
    assert sum(weights.values()) == pytest.approx(2.0)
