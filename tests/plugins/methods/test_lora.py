"""LoRA: low-rank updates beside frozen linear layers, folded in at the end."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from graftlm.core import registry

NAME = "lora"


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


def test_it_is_the_formula(prepare):
    made = prepare("tiny")
    layer = method().layers(made.model)[0]
    weight = made.model.module.get_parameter(f"{layer}.weight").detach().clone()
    adaptation = method(rank=4, alpha=6).apply(made.model, made.setting)
    part = made.model.module.get_submodule(layer)
    torch.manual_seed(0)
    a, b = part.lora_A["default"].weight, part.lora_B["default"].weight
    with torch.no_grad():
        b.normal_()
    expected = weight + 6 / 4 * b.detach() @ a.detach()
    adaptation.finish()
    torch.testing.assert_close(made.model.module.get_parameter(f"{layer}.weight"), expected, atol=1e-6, rtol=1e-6)


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


def test_kept_apart_the_base_is_untouched_and_a_checkpoint_holds_the_adapter_alone(prepare):
    made = prepare("tiny")
    before, layers = plain(made.model.module), method().layers(made.model)
    adaptation = method(rank=2, merge=False).apply(made.model, made.setting)
    kept = made.train(steps=2, job={"adaptations": [adaptation]})[-1].snapshot()
    for name in layers:
        assert torch.equal(made.model.module.get_parameter(f"{name}.base_layer.weight"), before[f"{name}.weight"])
    held = [name for name in kept["tensors"] if name.startswith("weights.")]
    assert len(held) == 2 * len(layers) + 2  # A and B of each layer, and the head
    assert all("lora_" in name or ".head." in name for name in held)


def test_several_tasks_need_merged_adapters(prepare):
    made = prepare("tiny")
    several = dataclasses.replace(made.model, base="tasks.one.encoder")
    assert "folded in" in method(merge=False).refuses(several, made.setting)
