"""SAM against its closed form on a quadratic, and against autograd on a model."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


class Bowl(torch.nn.Module):
    """L(w) = 1/2 w' A w with A = diag(1, 4)."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([3.0, 1.0]))


def bowl_gradient(adaptation_of):
    class Model:
        module = Bowl()
        head = None

    scale = torch.tensor([1.0, 4.0])

    def inner(batches):
        loss = (scale * Model.module.w**2).sum() / 2
        loss.backward()
        return float(loss.detach())

    loss = adaptation_of(Model).wrap(inner)(None)
    return loss, Model.module.w


class Nothing:
    methods = ("full",)


def test_on_a_quadratic_it_is_the_closed_form():
    # g = A w = (3, 4), |g| = 5; at w + 0.5 g / 5 = (3.3, 1.4) the gradient is (3.3, 5.6)
    record = registry.make("method", {"use": "sam", "rho": 0.5})
    loss, w = bowl_gradient(lambda model: record.apply(model, Nothing))
    torch.testing.assert_close(w.grad, torch.tensor([3.3, 5.6]), atol=1e-6, rtol=0)
    assert torch.equal(w.detach(), torch.tensor([3.0, 1.0]))
    assert loss == pytest.approx(6.5)


def test_adaptive_it_is_the_closed_form():
    # w g = (9, 4), |w g| = sqrt(97); the step is 0.5 w^2 g / sqrt(97) = 0.5 (27, 4) / 9.848858
    record = registry.make("method", {"use": "sam", "rho": 0.5, "adaptive": True})
    _, w = bowl_gradient(lambda model: record.apply(model, Nothing))
    expected = torch.tensor([3 + 13.5 / 97**0.5, 4 * (1 + 2 / 97**0.5)])
    torch.testing.assert_close(w.grad, expected, atol=1e-5, rtol=0)


def test_on_a_model_it_is_the_gradient_at_the_perturbed_weights(prepare, inner_of, halves, gradient_of, task_gradient):
    made = prepare("tiny", dropout=0.0)
    adaptation = registry.make("method", {"use": "sam", "rho": 0.1}).apply(made.model, made.setting)
    before = made.weights()
    _, found = gradient_of(made, adaptation.wrap(inner_of(made)), halves(made))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.weights().items())
    plain, _ = task_gradient(made)
    norm = torch.sqrt(sum((g.double() ** 2).sum() for g in plain.values()))
    with torch.no_grad():
        for name, gradient in plain.items():
            made.model.module.get_parameter(name).add_(0.1 * gradient / norm)
    expected, _ = task_gradient(made)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


def test_in_bf16_the_perturbed_weights_are_seen(prepare):
    weights = []
    for rho in (1e-6, 1.0):
        made = prepare("tiny", dropout=0.0)
        adaptation = registry.make("method", {"use": "sam", "rho": rho}).apply(made.model, made.setting)
        made.train(steps=2, precision="bf16", job={"adaptations": [adaptation]})
        weights.append(made.weights())
    assert any((weights[0][name] - weights[1][name]).abs().max() > 1e-4 for name in weights[0])
