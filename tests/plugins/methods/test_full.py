"""Full fine-tuning: everything trains, the head from the probe's solution."""

from __future__ import annotations

import torch

from graftlm.contracts.method import Adaptation
from graftlm.core import registry


def test_the_head_starts_at_the_linear_solution(prepare, backbone, logits_of):
    made = prepare(backbone)
    assert registry.make("method", "full").apply(made.model, made.setting) == Adaptation()
    solution, features = made.features.probe(made.rows), made.features(made.rows)
    expected = torch.from_numpy(features @ solution.weight.T + solution.bias)
    torch.testing.assert_close(logits_of(made), expected, atol=1e-4, rtol=1e-4)


def test_a_random_head_stays_random_and_asks_for_no_probe(prepare, backbone):
    made = prepare(backbone, probe=lambda: (_ for _ in ()).throw(AssertionError("asked")))
    before = made.weights()
    registry.make("method", {"use": "full", "head": "random"}).apply(made.model, made.setting)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.weights().items())


def test_every_parameter_trains(prepare, backbone):
    made = prepare(backbone)
    before = {name: p.detach().clone() for name, p in made.model.module.named_parameters()}
    adaptation = registry.make("method", "full").apply(made.model, made.setting)
    made.train(steps=4, job={"adaptations": [adaptation]})
    still = [name for name, p in made.model.module.named_parameters() if torch.equal(before[name], p)]
    assert [name for name in still if "pooler" not in name] == []


def test_without_a_solution_the_head_stays(prepare):
    made = prepare(probe=lambda: None)
    before = made.weights()
    registry.make("method", "full").apply(made.model, made.setting)
    assert torch.equal(before["head.weight"], made.weights()["head.weight"])
