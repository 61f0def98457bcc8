"""R-Drop against its formula, and on a model."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

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


@pytest.mark.parametrize("alpha", [0.0, 1.0, 5.0])
def test_it_is_the_formula(alpha):
    one, targets = made()
    two = made(1)[0]
    p, q = Categorical(logits=one), Categorical(logits=two)
    cross = (-p.log_prob(targets) - q.log_prob(targets)).mean() / 2
    expected = cross + alpha * (kl_divergence(p, q) + kl_divergence(q, p)).mean() / 2
    loss = registry.make("loss", {"use": "r_drop", "alpha": alpha})
    torch.testing.assert_close(loss(look(one, targets, two)), expected, rtol=0, atol=1e-12)


def test_a_model_without_dropout_is_refused():
    class Card:
        name = "plain"

    class Model:
        module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.0))
        card = Card

    loss = registry.make("loss", "r_drop")
    assert "no dropout" in loss.refuses(Model, TASK)
    Model.module = torch.nn.Dropout(0.1)
    assert loss.refuses(Model, TASK) is None
