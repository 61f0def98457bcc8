"""Label smoothing against its formula."""

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


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_it_is_the_cross_entropy_against_the_smoothed_truth(amount):
    logits, targets = made()
    truth = torch.full((7, 5), amount / 5, dtype=torch.float64)
    truth[torch.arange(7), targets] += 1 - amount
    expected = -(truth * (logits - logits.exp().sum(-1, keepdim=True).log())).sum(-1).mean()
    loss = registry.make("loss", {"use": "label_smoothing", "amount": amount})
    torch.testing.assert_close(loss(look(logits, targets)), expected, rtol=0, atol=1e-12)


def test_what_does_not_count_is_left_out():
    logits, targets = made()
    hidden = targets.clone()
    hidden[3:] = -100
    loss = registry.make("loss", "label_smoothing")
    torch.testing.assert_close(loss(look(logits, hidden)), loss(look(logits[:3], targets[:3])))


def test_tasks_without_a_right_class_are_refused():
    class Other:
        chooses = False

        @staticmethod
        def name():
            return "regression"

    assert "regression" in registry.make("loss", "label_smoothing").refuses(None, Other)
    assert registry.make("loss", "label_smoothing").refuses(None, TASK) is None
