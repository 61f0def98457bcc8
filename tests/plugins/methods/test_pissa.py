"""PiSSA: LoRA that starts from the largest singular directions of each weight."""

from __future__ import annotations

import copy

import pytest
import torch

from graftlm.core import registry

NAME = "pissa"


def method(**fields):
    return registry.make("method", {"use": NAME, **fields})


def plain(module):
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def test_folding_changes_no_answer_and_leaves_a_plain_model(prepare, backbone, logits_of):
    made = prepare(backbone)
    before, answered = plain(made.model.module), None
    adaptation = method(rank=4, head="random").apply(made.model, made.setting)
    made.train(steps=4, rate=1e-3, job={"adaptations": [adaptation]})
    answered = logits_of(made)
    after = plain(made.model.module)
    assert after.keys() == before.keys()  # the loop has called finish
    assert not any("lora" in name for name, _ in made.model.module.named_modules())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = set(method().layers(made.model))
    assert {name.removesuffix(".weight") for name in changed if not name.startswith(made.model.head)} == layers
    assert answered.isfinite().all()


def test_merged_equals_unmerged(prepare, logits_of):
    made = prepare("tiny", dropout=0.0)
    adaptation = method(rank=4).apply(made.model, made.setting)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.model.module.named_parameters():
            if "lora_" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    told = logits_of(made)
    twin = copy.deepcopy(made.model.module)
    adaptation.finish()
    torch.testing.assert_close(logits_of(made), told, atol=1e-5, rtol=1e-5)
    assert any("lora_A" in name for name, _ in twin.named_parameters())


def test_only_adapters_and_the_head_train(prepare):
    made = prepare("tiny")
    adaptation = method(rank=2).apply(made.model, made.setting)
    trains = {name for name, p in made.model.module.named_parameters() if p.requires_grad}
    assert all("lora_" in name or name.startswith(made.model.head) for name in trains)
    assert set(adaptation.rates) == {name for name in trains if "lora_" in name}
    assert set(adaptation.rates.values()) == {5.0}


def test_the_start_is_the_pretrained_model(prepare, logits_of):
    made = prepare("tiny")
    before = logits_of(made)
    method(rank=2, head="random").apply(made.model, made.setting)
    torch.testing.assert_close(logits_of(made), before, atol=1e-4, rtol=1e-4)


def test_it_starts_from_the_singular_vectors(prepare):
    made = prepare("tiny")
    layer = method().layers(made.model)[0]
    weight = made.model.module.get_parameter(f"{layer}.weight").detach().clone()
    method(rank=4).apply(made.model, made.setting)
    part = made.model.module.get_submodule(layer)
    u, s, v = torch.linalg.svd(weight)
    first = u[:, :4] @ s[:4].diag() @ v[:4]
    product = part.lora_B["default"].weight @ part.lora_A["default"].weight
    torch.testing.assert_close(product, first, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(part.base_layer.weight, weight - first, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_is_refused(prepare):
    made = prepare("tiny")
    width = made.model.card.width
    assert str(width) in method(rank=width + 1).refuses(made.model, made.setting)
    reason = method(targets=["nothing"]).refuses(made.model, made.setting)
    assert "query" in reason
    assert method().refuses(made.model, made.setting) is None


def test_two_kinds_of_adapters_are_refused(prepare):
    made = prepare("tiny", methods=("lora", "dora", "pissa"))
    assert "only one kind" in method().refuses(made.model, made.setting)


@pytest.mark.parametrize(("targets", "some"), [("attention", "query"), (["query"], "query"), ("all", "dense")])
def test_targets(prepare, targets, some):
    made = prepare("tiny")
    names = method(targets=targets).layers(made.model)
    assert any(name.endswith(some) for name in names)
    assert (len(names) < len(method().layers(made.model))) == (targets != "all")


@pytest.mark.parametrize("kind", ["tiny", {"use": "tiny", "architecture": "gpt2"}], ids=["bert", "gpt2"])
def test_kept_apart_it_is_lora_of_twice_the_rank_on_the_weights_as_they_were(prepare, logits_of, kind):
    made = prepare(kind, dropout=0.0)
    before, layers = plain(made.model.module), method().layers(made.model)
    adaptation = method(rank=3, merge=False).apply(made.model, made.setting)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.model.module.named_parameters():
            if "lora_" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    told = logits_of(made)
    adaptation.finish()
    torch.testing.assert_close(logits_of(made), told, atol=1e-5, rtol=1e-5)
    for name in layers:
        part = made.model.module.get_submodule(name)
        assert torch.equal(part.base_layer.weight, before[f"{name}.weight"])
        assert len(part.lora_A["default"].weight) == 6
        assert part.scaling["default"] == 1
