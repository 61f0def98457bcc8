"""Blocks drawn anew: which, with what deviation, and that nothing else changes."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from graftlm.core import registry
from graftlm.core.errors import UserError


def test_the_top_blocks_are_drawn_anew_and_nothing_else(prepare, backbone):
    made = prepare(backbone)
    start = made.weights()
    registry.make("method", {"use": "reinit_top", "layers": 1}).apply(made.model, made.setting)
    top, pooler = f"{made.model.blocks[-1]}.", f"{made.model.base}.pooler."
    deviation = made.model.module.get_submodule(made.model.base).config.initializer_range
    for name, tensor in made.weights().items():
        if not name.startswith((top, pooler)):
            assert torch.equal(tensor, start[name]), name
        elif tensor.ndim > 1:
            assert not torch.equal(tensor, start[name])
            assert float(tensor.std()) == pytest.approx(deviation, rel=0.15)
            assert abs(float(tensor.mean())) < 0.2 * deviation
        elif tensor.is_floating_point():
            assert torch.equal(tensor, torch.full_like(tensor, 0.0 if name.endswith("bias") else 1.0)), name


def test_the_same_seed_draws_the_same(prepare):
    weights = []
    for seed in (1, 1, 2):
        made = prepare("tiny")
        setting = dataclasses.replace(made.setting, seed=seed)
        registry.make("method", "reinit_top").apply(made.model, setting)
        weights.append(made.weights()[f"{made.model.blocks[-1]}.output.dense.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_was_drawn_anew_is_not_pulled_back(prepare):
    made = prepare("tiny", methods=("reinit_top", "l2_sp"))
    start = made.weights()
    records = [registry.make("method", each) for each in ("reinit_top", {"use": "l2_sp", "strength": 1e5})]
    whole = copy.deepcopy(made.model.module)
    job = {"adaptations": [record.apply(made.model, made.setting) for record in records], "start": whole}
    made.train(steps=3, job=job)
    name = "encoder.encoder.layer.{}.output.dense.weight"
    assert torch.equal(made.weights()[name.format(0)], start[name.format(0)])  # a pull of one puts it back whole
    assert not torch.allclose(made.weights()[name.format(1)], start[name.format(1)], atol=1e-2)


def test_blocks_that_another_method_freezes_are_told(prepare):
    made = prepare("tiny")
    records = [registry.make("method", each) for each in ("reinit_top", {"use": "freeze", "layers": 2})]
    adaptations = [record.apply(made.model, made.setting) for record in records]
    with pytest.raises(UserError, match="Freeze fewer blocks"):
        made.train(steps=2, job={"adaptations": adaptations})


def test_what_cannot_work_is_refused(prepare):
    made = prepare("tiny", methods=("reinit_top", "bias_only"))
    record = registry.make("method", "reinit_top")
    assert "'bias_only'" in record.refuses(made.model, made.setting)
    assert "has 2 blocks" in registry.make("method", {"use": "reinit_top", "layers": 3}).refuses(
        made.model, prepare("tiny").setting
    )
