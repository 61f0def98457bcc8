"""What holds for every optimizer: downhill, groups apart, state through a checkpoint."""

from __future__ import annotations

import copy

import torch

from graftlm.core import registry


def quadratic():
    torch.manual_seed(0)
    return torch.nn.Parameter(torch.randn(4, 3)), torch.randn(4, 3)


def step(optimizer, parameter, goal):
    optimizer.zero_grad()
    loss = (parameter - goal).square().sum()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_it_goes_downhill(optimizer_name):
    parameter, goal = quadratic()
    plugin = registry.make("optimizer", optimizer_name)
    rate = 1e-4 * plugin.typical_rate()
    built = plugin.build([{"params": [parameter], "lr": rate, "weight_decay": 0.0}], rate)
    losses = [step(built, parameter, goal) for _ in range(40)]
    assert losses[-1] < losses[0]


def test_groups_keep_their_rate_and_a_rate_of_zero_holds_still(optimizer_name):
    still, goal = quadratic()
    moving, _ = quadratic()
    groups = [
        {"params": [still], "lr": 0.0, "weight_decay": 0.1},
        {"params": [moving], "lr": 0.01, "weight_decay": 0.0},
    ]
    built = registry.make("optimizer", optimizer_name).build(groups, 0.5)
    before = still.detach().clone()
    (still.sum() + moving.sum()).backward()
    built.step()
    assert [group["lr"] for group in built.param_groups] == [0.0, 0.01]
    assert torch.equal(still.detach(), before)
    assert not torch.equal(moving.detach(), before)


def test_entries_without_gradient_never_move_where_it_says_so(optimizer_name):
    plugin = registry.make("optimizer", optimizer_name)
    parameter, _ = quadratic()
    before = parameter.detach().clone()
    built = plugin.build([{"params": [parameter], "lr": 0.1, "weight_decay": 0.0}], 0.1)
    for _ in range(3):
        parameter.grad = torch.randn(4, 3) * torch.tensor([[1.0], [0.0], [1.0], [0.0]])
        built.step()
    moved = not torch.equal(parameter.detach()[1::2], before[1::2])
    assert not (plugin.elementwise and moved)


def test_its_state_goes_through_a_checkpoint_bit_for_bit(optimizer_name):
    parameter, goal = quadratic()
    plugin = registry.make("optimizer", optimizer_name)
    built = plugin.build([{"params": [parameter]}], 0.01)
    for _ in range(3):
        step(built, parameter, goal)
    twin = torch.nn.Parameter(parameter.detach().clone())
    resumed = plugin.build([{"params": [twin]}], 0.01)
    resumed.load_state_dict(copy.deepcopy(built.state_dict()))
    for _ in range(3):
        step(built, parameter, goal)
        step(resumed, twin, goal)
    assert torch.equal(parameter, twin)
