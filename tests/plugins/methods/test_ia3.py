"""IA3: one learnt scale for each key, value and inner feature, folded in at the end."""

from __future__ import annotations

import torch

from graftlm.core import registry


def method(**fields):
    return registry.make("method", {"use": "ia3", **fields})


def scales(made):
    return {name: p for name, p in made.model.module.named_parameters() if "ia3_l" in name}


def test_three_vectors_a_block_on_every_architecture(prepare, backbone):
    made = prepare(backbone)
    layers = method().layers(made.model)
    assert layers, made.model.card.architecture
    method(head="random").apply(made.model, made.setting)
    blocks = len(made.model.blocks)
    sizes = [p.numel() for p in scales(made).values()]
    assert len(sizes) >= 2 * blocks
    assert sum(sizes) < 0.02 * sum(p.numel() for p in made.model.module.parameters()) + 1024


def test_it_is_the_formula(prepare):
    made = prepare("tiny")
    weights = {n: made.model.module.get_parameter(f"{n}.weight").detach().clone() for n in method().layers(made.model)}
    adaptation = method(head="random").apply(made.model, made.setting)
    torch.manual_seed(0)
    drawn = {}
    with torch.no_grad():
        for name, scale in scales(made).items():
            scale.uniform_(0.5, 1.5)
            drawn[name.partition(".ia3_l")[0]] = scale.detach().clone().flatten()
    adaptation.finish()
    for name, weight in weights.items():
        after = made.model.module.get_parameter(f"{name}.weight")
        if name.endswith("output.dense") and "attention" not in name:
            expected = weight * drawn[name]  # (out, in): the inputs are scaled
        else:
            expected = weight * drawn[name][:, None]  # outputs: l * (W x)
        torch.testing.assert_close(after, expected, atol=1e-6, rtol=1e-6)


def test_the_start_is_the_pretrained_model_and_folding_changes_no_answer(prepare, backbone, logits_of):
    made = prepare(backbone)
    before = logits_of(made)
    adaptation = method(head="random").apply(made.model, made.setting)
    torch.testing.assert_close(logits_of(made), before, atol=1e-5, rtol=1e-5)
    torch.manual_seed(0)
    with torch.no_grad():
        for scale in scales(made).values():
            scale.uniform_(0.8, 1.2)
    told = logits_of(made)
    adaptation.finish()
    torch.testing.assert_close(logits_of(made), told, atol=1e-4, rtol=1e-4)
    assert not scales(made)


def test_targets(prepare):
    made = prepare("tiny")
    assert all(name.endswith(("key", "value")) for name in method(targets="attention").layers(made.model))
    assert all(name.endswith("query") for name in method(targets=["query"]).layers(made.model))
    assert "query" in method(targets=["nothing"]).refuses(made.model, made.setting)
