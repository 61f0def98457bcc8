"""Class weights against scikit-learn's, and against the paper's effective numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look
from graftlm.contracts.values import Batch, Outputs, Space
from graftlm.core import registry

TASK = registry.make("task", "classification")
TARGETS = [0] * 10 + [1] * 5 + [2]


def prepared(**options):
    loss = registry.make("loss", {"use": "class_weights", **options})
    return loss, loss.prepare(Ground(None, TASK, Space(("a", "b", "c"), 3), targets=TARGETS))


def test_balanced_is_scikit_learns():
    _, state = prepared()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)  # n / (C n_c)
    np.testing.assert_allclose(state.get_buffer("weights").numpy(), expected, rtol=1e-6)


def test_effective_numbers_are_the_papers():
    # (1 - 0.9) / (1 - 0.9^n) for n = 10, 5, 1: 0.1535339, 0.2441946, 1; over the rows they sum to
    # 1.5353394 + 1.2209728 + 1 = 3.7563122, which becomes 16
    _, state = prepared(scheme="effective", beta=0.9)
    expected = np.array([0.15353394, 0.24419456, 1.0]) * 16 / 3.75631220
    np.testing.assert_allclose(state.get_buffer("weights").numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("scheme", ["balanced", "effective"])
def test_their_mean_over_the_training_rows_is_one(scheme):
    _, state = prepared(scheme=scheme)
    assert state.get_buffer("weights")[TARGETS].mean().item() == pytest.approx(1.0, rel=1e-6)


def test_the_loss_is_the_weighted_sum_by_the_number_of_rows():
    loss, state = prepared()
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 2, 1, 0])
    look = Look(Batch({}, targets, range(6)), Outputs(logits), None, TASK, None, 0, lambda: None, state)
    told = torch.log(torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True))
    expected = -sum(16 / (3 * (10, 5, 1)[t]) * told[i, t] for i, t in enumerate(targets.tolist())) / 6
    torch.testing.assert_close(loss(look), expected, atol=1e-6, rtol=1e-6)
