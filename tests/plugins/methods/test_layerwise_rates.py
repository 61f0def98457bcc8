"""Layer-wise rates against the formula, and in the optimizer's groups."""

from __future__ import annotations

import pytest

from graftlm.core import registry
from graftlm.stages.training.groups import parameter_groups


def rate_of(groups, parameter):
    return next(group["lr"] for group in groups if any(p is parameter for p in group["params"]))


def test_each_block_gets_the_rate_of_the_formula(prepare, backbone):
    from torch import nn

    made = prepare(backbone)
    module, blocks = made.model.module, made.model.blocks
    adaptation = registry.make("method", {"use": "layerwise_rates", "decay": 0.5}).apply(made.model, made.setting)
    groups = parameter_groups(made.model, [adaptation], nn.ModuleDict(), made.setting.optimizer, 1.0)
    found = [{rate_of(groups, p) for p in module.get_submodule(path).parameters()} for path in blocks]
    # by hand: the top block once decayed, each below it once more, the embeddings once more than the lowest
    expected = [{0.5}]
    while len(expected) < len(blocks):
        expected.insert(0, {next(iter(expected[0])) / 2})
    assert found == expected
    lowest = next(iter(expected[0]))
    below = [p for path in made.model.before for p in module.get_submodule(path).parameters()]
    assert {rate_of(groups, p) for p in below} == {lowest / 2}
    assert rate_of(groups, module.get_submodule(made.model.head).weight) == pytest.approx(1.0)


def test_lower_blocks_move_less(prepare):
    made = prepare("tiny")
    before = made.weights()
    adaptation = registry.make("method", {"use": "layerwise_rates", "decay": 0.1}).apply(made.model, made.setting)
    made.train(steps=2, job={"adaptations": [adaptation]})
    after = made.weights()

    def moved(path):
        return max(float((after[n] - before[n]).abs().max()) for n in after if n.startswith(f"{path}."))

    assert moved(made.model.blocks[0]) < 0.5 * moved(made.model.blocks[-1])
