"""BitFit: the biases and the head alone."""

from __future__ import annotations

import torch

from graftlm.core import registry


def method(**fields):
    return registry.make("method", {"use": "bias_only", **fields})


def test_only_biases_and_the_head_move(prepare):
    made = prepare("tiny")
    before = made.weights()
    adaptation = method().apply(made.model, made.setting)
    seen = made.train(steps=4, job={"adaptations": [adaptation]})
    moved = {name for name, tensor in made.weights().items() if not torch.equal(before[name], tensor)}
    assert seen
    assert any(name.endswith(".bias") and name.startswith(made.model.base) for name in moved)
    assert all(name.endswith(".bias") or name.startswith(f"{made.model.head}.") for name in moved)


def test_the_biases_learn_faster_than_the_head(prepare):
    made = prepare("tiny")
    rates = method(rate=7).apply(made.model, made.setting).rates
    assert set(rates.values()) == {7.0}
    assert not any(name.startswith(f"{made.model.head}.") for name in rates)


def test_what_was_frozen_stays_frozen(prepare):
    made = prepare("tiny")
    registry.make("method", {"use": "freeze", "layers": 1}).apply(made.model, made.setting)
    method().apply(made.model, made.setting)
    lowest = made.model.module.get_submodule(made.model.blocks[0])
    assert not any(p.requires_grad for p in lowest.parameters())


def test_a_base_without_biases_is_refused(prepare):
    made = prepare({"use": "scratch", "architecture": "modernbert", "layers": 2, "width": 32, "max_length": 64})
    assert "norm_only" in method().refuses(made.model, made.setting)
    assert method().refuses(prepare("tiny").model, made.setting) is None


def test_beside_adapters_it_is_refused(prepare):
    made = prepare("tiny", methods=("bias_only", "lora"))
    assert "'lora' freezes" in registry.make("method", "bias_only").refuses(made.model, made.setting)
