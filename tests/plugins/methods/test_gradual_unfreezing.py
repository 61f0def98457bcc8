"""Gradual unfreezing: the step at which each group starts to move."""

from __future__ import annotations

import torch

from graftlm.contracts.method import Adaptation
from graftlm.core import registry


def test_groups_move_from_the_top_down_at_their_steps(prepare):
    """Two blocks: groups 1 (top), 2 (lowest) and 3 (embeddings) of 3 begin at 1/3, 2/3 and 3/3 of 0.75 * 8 steps."""
    made, seen = prepare("tiny"), []
    module = made.model.module
    record = registry.make("method", {"use": "gradual_unfreezing", "share": 0.75})
    seen.append({n: p.detach().clone() for n, p in module.named_parameters()})
    watch = Adaptation(
        after_update=lambda update: seen.append({n: p.detach().clone() for n, p in module.named_parameters()})
    )
    adaptation = record.apply(made.model, made.setting)
    seen[0] = {n: p.detach().clone() for n, p in module.named_parameters()}
    made.train(steps=8, job={"adaptations": [adaptation, watch]})
    names = {
        "head.weight": 0,
        "encoder.encoder.layer.1.output.dense.weight": 2,
        "encoder.encoder.layer.0.output.dense.weight": 4,
        "encoder.embeddings.LayerNorm.weight": 6,
    }
    for name, begin in names.items():
        for step in range(8):
            moved = not torch.equal(seen[step][name], seen[step + 1][name])
            assert moved == (step >= begin), (name, step)


def test_beside_adapters_it_is_refused(prepare):
    made = prepare("tiny", methods=("gradual_unfreezing", "lora"))
    assert "'lora' freezes" in registry.make("method", "gradual_unfreezing").refuses(made.model, made.setting)
