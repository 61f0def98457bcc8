"""Focal loss against its formula."""

from __future__ import annotations

import pytest
import torch

from graftlm.contracts.loss import Look
from graftlm.contracts.values import Batch, Outputs
from graftlm.core import registry

TASK = registry.make("task", "classification")


def look(logits, targets, again=None):
    batch = Batch({}, targets, list(range(len(targets))))
    return Look(batch, Outputs(logits), None, TASK, None, 0, lambda: Outputs(again))


def made(seed=0):
    torch.manual_seed(seed)
    return torch.randn(7, 5, dtype=torch.float64), torch.randint(0, 5, (7,))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_it_is_the_formula(gamma):
    logits, targets = made()
    p = (logits.exp() / logits.exp().sum(-1, keepdim=True))[torch.arange(7), targets]
    expected = (-((1 - p) ** gamma) * p.log()).mean()
    loss = registry.make("loss", {"use": "focal", "gamma": gamma})
    torch.testing.assert_close(loss(look(logits, targets)), expected, rtol=0, atol=1e-10)


def test_gamma_zero_is_the_cross_entropy():
    logits, targets = made()
    found = registry.make("loss", {"use": "focal", "gamma": 0})(look(logits, targets))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, targets))


def test_a_certain_right_answer_has_a_finite_gradient():
    logits = torch.tensor([[60.0, -60.0], [0.0, 1.0]], requires_grad=True)
    registry.make("loss", {"use": "focal", "gamma": 0.5})(look(logits, torch.tensor([0, 1]))).backward()
    assert logits.grad.isfinite().all()
