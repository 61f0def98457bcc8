"""EMA against torch's AveragedModel and a plain loop over the weights of each step."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from graftlm.contracts.method import Adaptation
from graftlm.core import registry


def watching(made, seen):
    """Return an adaptation that keeps the weights after each update."""
    module = made.model.module
    return Adaptation(
        after_update=lambda update: seen.append({n: p.detach().clone() for n, p in module.named_parameters()})
    )


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_it_is_the_running_mean_of_the_weights(prepare, decay):
    made, seen = prepare("tiny"), []
    adaptation = registry.make("method", {"use": "ema", "decay": decay}).apply(made.model, made.setting)
    mean = {name: p.detach().clone().double() for name, p in made.model.module.named_parameters()}
    made.train(steps=8, job={"adaptations": [adaptation, watching(made, seen)]})
    for step, weights in enumerate(seen):
        stays = min(decay, (1 + step) / (10 + step))
        mean = {name: stays * mean[name] + (1 - stays) * weights[name].double() for name in mean}
    for name, p in made.model.module.named_parameters():
        torch.testing.assert_close(p.double(), mean[name], atol=1e-5, rtol=1e-5)
        assert not torch.equal(p, seen[-1][name])


def test_at_a_decay_below_the_ramp_it_is_torchs_own(prepare):
    # (1 + t) / (10 + t) is 0.1 at the first update: below that torch's constant decay and ours are one
    made, seen = prepare("tiny"), []
    start = {name: p.detach().clone() for name, p in made.model.module.named_parameters()}
    adaptation = registry.make("method", {"use": "ema", "decay": 0.1}).apply(made.model, made.setting)
    head = {name: p.detach().clone() for name, p in made.model.module.named_parameters()}
    made.train(steps=4, job={"adaptations": [adaptation, watching(made, seen)]})
    name = next(n for n in start if n.endswith("query.weight"))
    layer = torch.nn.Linear(1, 1)
    layer.weight = torch.nn.Parameter(head[name].clone())
    averaged = AveragedModel(layer, multi_avg_fn=get_ema_multi_avg_fn(0.1))
    averaged.update_parameters(layer)  # the first call copies
    for weights in seen:
        layer.weight.data.copy_(weights[name])
        averaged.update_parameters(layer)
    torch.testing.assert_close(made.model.module.get_parameter(name).data, averaged.module.weight.data)


def test_it_is_the_same_with_a_working_vocabulary(prepare):
    made, small = prepare("tiny"), prepare("tiny")
    for one, working in ((made, False), (small, True)):
        adaptation = registry.make("method", "ema").apply(one.model, one.setting)
        one.train(steps=6, working_vocabulary=working, job={"adaptations": [adaptation]})
    for name, tensor in made.weights().items():
        torch.testing.assert_close(small.weights()[name], tensor, atol=1e-6, rtol=1e-5)


def test_a_second_average_is_refused(prepare):
    made = prepare("tiny", methods=("ema", "swa"))
    reason = registry.make("method", "ema").refuses(made.model, made.setting)
    assert "'swa'" in reason
