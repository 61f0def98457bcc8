"""SGD against the formula and torch's own."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from graftlm.core import registry


@pytest.mark.parametrize("nesterov", [False, True])
def test_equals_the_formula(nesterov):
    torch.manual_seed(0)
    start, gradients = torch.randn(4), [torch.randn(4) for _ in range(3)]
    parameter = torch.nn.Parameter(start.clone())
    plugin = registry.make("optimizer", {"use": "sgd", "momentum": 0.7, "nesterov": nesterov, "weight_decay": 0.1})
    built = plugin.build([{"params": [parameter]}], 0.05)
    expected, velocity = start.clone(), None
    for gradient in gradients:
        parameter.grad = gradient.clone()
        built.step()
        full = gradient + 0.1 * expected
        velocity = full.clone() if velocity is None else 0.7 * velocity + full
        expected = expected - 0.05 * (full + 0.7 * velocity if nesterov else velocity)
    torch.testing.assert_close(parameter.detach(), expected)


def test_without_momentum_there_is_no_state():
    parameter = torch.nn.Parameter(torch.ones(3))
    built = registry.make("optimizer", {"use": "sgd", "momentum": 0}).build([{"params": [parameter]}], 0.1)
    parameter.grad = torch.ones(3)
    built.step()
    assert all(value is None for state in built.state.values() for value in state.values())


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValidationError, match="nesterov needs momentum above 0"):
        registry.make("optimizer", {"use": "sgd", "momentum": 0, "nesterov": True})


def test_an_entry_without_gradient_never_moves():
    plugin = registry.make("optimizer", {"use": "sgd", "weight_decay": 0.0})
    parameter = torch.nn.Parameter(torch.full((2, 2), 0.3))
    built = plugin.build([{"params": [parameter]}], 0.1)
    for _ in range(3):
        parameter.grad = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
        built.step()
    assert plugin.elementwise
    assert torch.equal(parameter.detach()[1], torch.full((2,), 0.3))
    assert plugin.typical_rate() > 1
