"""The norms and the head alone."""

from __future__ import annotations

import torch

from graftlm.core import registry


def test_only_norms_and_the_head_move(prepare, backbone):
    made = prepare(backbone)
    module, base = made.model.module, made.model.base
    sizes = {name: p.shape for name, p in module.named_parameters()}
    before = made.weights()
    record = registry.make("method", "norm_only")
    assert record.refuses(made.model, made.setting) is None
    adaptation = record.apply(made.model, made.setting)
    made.train(steps=4, job={"adaptations": [adaptation]})
    moved = {n for n, t in made.weights().items() if not torch.equal(before[n], t)}
    moved = {name for name in moved if not name.startswith(f"{made.model.head}.")}
    assert moved
    assert all(name.startswith(f"{base}.") for name in moved)
    # norms of these architectures say so in their names: LayerNorm, ln_1, attn_norm
    assert all(any(part in name.lower() for part in ("norm", ".ln_")) for name in moved)
    assert all(len(sizes[name]) == 1 for name in moved)
    assert set(adaptation.rates.values()) == {10.0}


def test_beside_adapters_it_is_refused(prepare):
    made = prepare("tiny", methods=("norm_only", "lora"))
    assert "'lora' freezes" in registry.make("method", "norm_only").refuses(made.model, made.setting)
