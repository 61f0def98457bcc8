"""IA3: one learnt scale for each key, value and inner feature, folded in at the end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModel

from graftlm.contracts.pretrained import LAYOUTS
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


@pytest.mark.parametrize("architecture", LAYOUTS)
def test_every_architecture_has_keys_values_and_inner_features(architecture):
    config = AutoConfig.for_model(architecture)
    depths = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "encoder_layers",
              "decoder_layers")  # fmt: skip
    for depth in depths:
        if hasattr(config, depth):
            setattr(config, depth, 1)
    with torch.device("meta"):
        module = AutoModel.from_config(config)
    blocks = tuple(f"{path}.0" for path in LAYOUTS[architecture].blocks)
    model = SimpleNamespace(module=module, blocks=blocks)
    for block in blocks:
        inside = [name for name in method().layers(model) if name.startswith(f"{block}.")]
        kept = [name for name in method(targets="attention").layers(model) if name.startswith(f"{block}.")]
        assert kept, architecture
        assert len(inside) > len(kept), f"{architecture}: no inner features"


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
