"""Adafactor against the paper's algorithm written out."""

from __future__ import annotations

import torch

from graftlm.core import registry


def written_out(start, gradients, rate, decay, clip, weight_decay):
    """Algorithm 4 with absolute steps for a matrix (Shazeer and Stern 2018)."""
    p, row, column = start.clone(), torch.zeros(start.shape[0]), torch.zeros(start.shape[1])
    for step, gradient in enumerate(gradients, 1):
        kept = 1 - step**-decay
        square = gradient**2 + 1e-30
        row = kept * row + (1 - kept) * square.mean(1)
        column = kept * column + (1 - kept) * square.mean(0)
        second = torch.outer(row, column) / row.mean()
        update = gradient / second.sqrt()
        update = update / max(1.0, float(update.square().mean().sqrt()) / clip)
        p = p - weight_decay * rate * p - rate * update
    return p


def test_equals_the_paper():
    torch.manual_seed(0)
    start, gradients = torch.randn(6, 4), [torch.randn(6, 4) for _ in range(5)]
    parameter = torch.nn.Parameter(start.clone())
    plugin = registry.make("optimizer", {"use": "adafactor", "decay": 0.7, "clip_threshold": 0.5, "weight_decay": 0.1})
    built = plugin.build([{"params": [parameter]}], 0.03)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        built.step()
    torch.testing.assert_close(
        parameter.detach(), written_out(start, gradients, 0.03, 0.7, 0.5, 0.1), rtol=1e-4, atol=1e-5
    )


def test_the_state_of_a_matrix_is_a_row_and_a_column():
    parameter = torch.nn.Parameter(torch.randn(50, 40))
    plugin = registry.make("optimizer", "adafactor")
    built = plugin.build([{"params": [parameter]}], 0.01)
    parameter.grad = torch.randn(50, 40)
    built.step()
    held = [v.numel() for v in built.state[parameter].values() if isinstance(v, torch.Tensor) and v.numel() > 1]
    assert sorted(held) == [40, 50]
    assert not plugin.elementwise


def test_the_rate_of_a_group_follows_a_schedule():
    parameter = torch.nn.Parameter(torch.zeros(3, 3))
    built = registry.make("optimizer", "adafactor").build([{"params": [parameter], "lr": 0.1}], 0.5)
    built.param_groups[0]["lr"] = 0.0
    parameter.grad = torch.randn(3, 3)
    built.step()
    assert torch.equal(parameter.detach(), torch.zeros(3, 3))
