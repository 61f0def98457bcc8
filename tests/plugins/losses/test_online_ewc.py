"""Online EWC: the decayed sum of what `ewc` finds on each run."""

from __future__ import annotations

import dataclasses

import torch

from graftlm.core import registry


def test_it_is_the_decayed_sum_of_each_runs_fisher(ground):
    made, other = ground(), ground(old_head=2.0)
    runs = {"runs/a": other.earlier, "runs/b": made.earlier}
    standing = dataclasses.replace(made.ground, earlier=runs.__getitem__)
    record = registry.make(
        "loss", {"use": "online_ewc", "runs": ["runs/a", "runs/b"], "gamma": 0.5, "rows": 6, "labels": "data"}
    )
    found = dict(record.prepare(standing).weights.items())
    single = {
        run: dict(
            registry.make("loss", {"use": "ewc", "run": run, "rows": 6, "labels": "data"})
            .prepare(standing)
            .weights.items()
        )
        for run in runs
    }
    for name, tensor in found.items():
        expected = 0.5 * single["runs/a"][name] + single["runs/b"][name]
        torch.testing.assert_close(tensor, expected, atol=1e-7, rtol=1e-5)
    assert any(not torch.allclose(single["runs/a"][name], single["runs/b"][name]) for name in found)


def test_without_runs_it_is_ewc_without_one(ground):
    made = ground()
    one = registry.make("loss", "online_ewc").prepare(made.ground).weights
    two = registry.make("loss", "ewc").prepare(made.ground).weights
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(one.items(), two.items(), strict=True))
