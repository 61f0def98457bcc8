"""AdamW against torch's own."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from graftlm.core import registry


def updates(optimizer, parameter, gradients):
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach()


@pytest.fixture
def gradients():
    torch.manual_seed(1)
    return [torch.randn(5, 3) for _ in range(4)]


def test_equals_torch(gradients):
    start = torch.randn(5, 3)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    plugin = registry.make("optimizer", {"use": "adamw", "betas": [0.8, 0.95], "eps": 1e-6})
    built = plugin.build([{"params": [ours], "lr": 0.02, "weight_decay": 0.1}], 0.01)
    plain = torch.optim.AdamW([theirs], lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    torch.testing.assert_close(updates(built, ours, gradients), updates(plain, theirs, gradients))


def test_groups_keep_their_own_rate_and_decay_and_the_default_fills_the_rest():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    groups = ({"params": iter([p]), **more} for p, more in ((a, {"lr": 0.5, "weight_decay": 0.0}), (b, {})))
    built = registry.make("optimizer", {"use": "adamw", "weight_decay": 0.25}).build(groups, 0.01)
    assert [(g["lr"], g["weight_decay"]) for g in built.param_groups] == [(0.5, 0.0), (0.01, 0.25)]


def test_fused_where_it_can_and_plain_where_it_cannot():
    plugin = registry.make("optimizer", "adamw")
    real = plugin.build([{"params": [torch.nn.Parameter(torch.ones(2))]}], 0.1)
    meta = plugin.build([{"params": [torch.nn.Parameter(torch.ones(2, device="meta"))]}], 0.1)
    assert real.defaults["fused"] is True
    assert not meta.defaults["fused"]


def test_an_entry_without_gradient_never_moves():
    plugin = registry.make("optimizer", {"use": "adamw", "weight_decay": 0.0})
    parameter = torch.nn.Parameter(torch.full((3, 2), 0.7))
    built = plugin.build([{"params": [parameter]}], 0.1)
    mask = torch.tensor([[1.0], [0.0], [1.0]])
    torch.manual_seed(0)
    after = updates(built, parameter, [torch.randn(3, 2) * mask for _ in range(3)])
    assert plugin.elementwise
    assert torch.equal(after[1], torch.full((2,), 0.7))
    assert not torch.equal(after[0], torch.full((2,), 0.7))


def test_a_beta_of_one_is_refused():
    with pytest.raises(ValidationError, match=r"betas\.1\n.*less than 1"):
        registry.make("optimizer", {"use": "adamw", "betas": [0.9, 1.0]})
