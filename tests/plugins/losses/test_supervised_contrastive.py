"""The supervised contrastive loss against the sum of the paper, term by term, and at a closed form."""

from __future__ import annotations

import math

import pytest
import torch

from graftlm.contracts.loss import Look
from graftlm.contracts.values import Batch, Outputs
from graftlm.core import registry

TASK = registry.make("task", "classification")


def look(vectors, targets, logits=None):
    inputs = {"attention_mask": torch.ones(len(targets), 1)}
    logits = torch.zeros(len(targets), 3, dtype=vectors.dtype) if logits is None else logits
    outputs = Outputs(logits, pooled=vectors)
    return Look(Batch(inputs, targets, range(len(targets))), outputs, None, TASK, None, 0, lambda: None)


def test_it_is_the_papers_sum():
    torch.manual_seed(0)
    vectors, targets = torch.randn(7, 5), torch.tensor([0, 1, 0, 2, 1, 0, 1])
    z = (vectors / vectors.norm(dim=1, keepdim=True)).double().tolist()
    total = 0.0
    for i in range(7):
        friends = [p for p in range(7) if p != i and targets[p] == targets[i]]
        below = sum(math.exp(sum(a * b for a, b in zip(z[i], z[o], strict=True)) / 0.3) for o in range(7) if o != i)
        for p in friends:
            near = math.exp(sum(a * b for a, b in zip(z[i], z[p], strict=True)) / 0.3)
            total -= math.log(near / below) / len(friends) / 7
    loss = registry.make("loss", {"use": "supervised_contrastive", "share": 1.0, "temperature": 0.3})
    assert loss(look(vectors, targets)).item() == pytest.approx(total, abs=1e-5)


def test_two_pairs_at_right_angles_have_a_closed_form():
    # friends at cosine 1, two strangers at 0: -ln(e^(1/T) / (e^(1/T) + 2)) for each row, T = 0.5
    vectors = torch.tensor([[1.0, 0], [2.0, 0], [0, 1.0], [0, 3.0]])
    loss = registry.make("loss", {"use": "supervised_contrastive", "share": 1.0, "temperature": 0.5})
    expected = math.log(1 + 2 * math.exp(-2))
    assert loss(look(vectors, torch.tensor([0, 0, 1, 1]))).item() == pytest.approx(expected, abs=1e-6)


def test_it_is_mixed_with_the_tasks_own():
    torch.manual_seed(0)
    vectors, logits, targets = torch.randn(4, 5), torch.randn(4, 3), torch.tensor([0, 1, 0, 1])
    parts = [
        registry.make("loss", {"use": "supervised_contrastive", "share": share})(look(vectors, targets, logits))
        for share in (0.0, 1.0, 0.25)
    ]
    torch.testing.assert_close(parts[0], torch.nn.functional.cross_entropy(logits, targets))
    torch.testing.assert_close(parts[2], 0.75 * parts[0] + 0.25 * parts[1])


def test_a_row_alone_adds_nothing_and_has_a_gradient_without_holes():
    vectors = torch.randn(1, 5, requires_grad=True)
    loss = registry.make("loss", {"use": "supervised_contrastive", "share": 1.0})
    found = loss(look(vectors, torch.tensor([0])))
    found.backward()
    assert found.item() == 0
    assert vectors.grad.isfinite().all()
