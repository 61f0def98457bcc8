"""SWA against the plain mean of the weights."""

from __future__ import annotations

import torch

from graftlm.contracts.method import Adaptation
from graftlm.core import registry


def test_it_is_the_mean_of_the_weights_at_every_third_update_of_the_second_half(prepare):
    made, seen = prepare("tiny"), []
    module = made.model.module
    record = registry.make("method", {"use": "swa", "start": 0.5, "every": 3})
    watch = Adaptation(
        after_update=lambda update: seen.append({n: p.detach().clone() for n, p in module.named_parameters()})
    )
    made.train(steps=8, job={"adaptations": [record.apply(made.model, made.setting), watch]})
    chosen = [seen[4], seen[7]]  # updates 4, 7 of 0 to 7, with 8 planned
    for name, p in module.named_parameters():
        mean = torch.stack([weights[name].double() for weights in chosen]).mean(0)
        torch.testing.assert_close(p.double(), mean, atol=1e-6, rtol=1e-5)


def test_before_its_share_the_weights_themselves_are_judged(prepare):
    plain, made = prepare("tiny"), prepare("tiny")
    record = registry.make("method", {"use": "swa", "start": 0.9, "every": 1})
    full = registry.make("method", "full").apply(plain.model, plain.setting)
    plain.train(steps=4, job={"adaptations": [full]})
    made.train(steps=4, job={"adaptations": [record.apply(made.model, made.setting)]})  # 8 are planned
    for name, tensor in plain.weights().items():
        assert torch.equal(made.weights()[name], tensor), name
