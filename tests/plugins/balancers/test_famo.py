from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


def test_weights_are_the_gradient_of_the_formula(step):
    _, balanced = step
    balancer = registry.make("balancer", {"use": "famo", "bound": 0.1})
    state = balancer.start(["a", "b", "c"])
    state.value.copy_(torch.tensor([0.2, -0.4, 1.0]))
    losses = torch.tensor([1.5, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    z = state.value.softmax(0)
    c = (z / (losses - 0.1)).sum().detach()
    (z * (losses - 0.1).log() / c).sum().backward()
    found = balancer.weights_after(balanced([[1.0]] * 3, losses.tolist(), state))
    assert list(found.values()) == pytest.approx(losses.grad.tolist(), abs=1e-9)


def test_a_run_of_steps_equals_torchjd(step):
    from torchjd.scalarization import FAMO

    _, balanced = step
    balancer = registry.make("balancer", {"use": "famo", "rate": 0.025, "decay": 1e-3})
    state = balancer.start(["a", "b"])
    oracle = FAMO(2, lr=0.025, weight_decay=1e-3) if _takes(FAMO, "lr") else None
    if oracle is None:
        pytest.skip("torchjd's FAMO has other options here")
    values = [(2.0, 1.0), (1.6, 0.9), (1.1, 0.85), (0.9, 0.5)]
    for before, after in zip(values, values[1:], strict=False):
        losses = torch.tensor(before, requires_grad=True)
        oracle(losses).backward()
        balance = balanced([[1.0], [1.0]], before, state)
        assert list(balancer.weights_after(balance).values()) == pytest.approx(losses.grad.tolist(), abs=1e-5)
        balancer.look_again(balance, dict(zip("ab", after, strict=True)))
        oracle.update(torch.tensor(after))


def _takes(cls, name):
    import inspect

    return name in inspect.signature(cls.__init__).parameters


def test_the_task_that_fell_least_gains(step):
    _, balanced = step
    balancer = registry.make("balancer", "famo")
    state = balancer.start(["a", "b"])
    for _ in range(20):
        balancer.look_again(balanced([[1.0], [1.0]], (1.0, 1.0), state), {"a": 0.5, "b": 0.99})
    z = state.value.softmax(0)
    assert z[1] > z[0]
