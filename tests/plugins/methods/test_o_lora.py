"""O-LoRA: the overlap against the reference's expression, and directions left from run to run."""

from __future__ import annotations

import copy

import pytest
import torch

from graftlm.contracts.ground import Earlier, Ground
from graftlm.core import registry
from graftlm.core.errors import UserError

LAYER = "encoder.layer.0.attention.self.query"


def begun(made, left, **options):
    old = copy.deepcopy(made.model.module)
    start = copy.deepcopy(made.model.module)
    record = registry.make("method", {"use": "o_lora", "rank": 3, "run": "runs/a", **options})
    adaptation = record.apply(made.model, made.setting)
    model = type(made.model)(old, made.model.tokenizer, made.model.card, "pooled", "encoder", "head", "")
    earlier = Earlier(model, made.task, made.space, 128, left=lambda: left)
    adaptation.begin(Ground(made.model, made.task, made.space, start=start, earlier=lambda run: earlier))
    return adaptation


class Seen:
    def __init__(self, made):
        self.model = made.model
        self.outputs = type("Outputs", (), {"logits": torch.zeros(1)})


def test_the_overlap_is_the_sum_of_the_entries_sizes(prepare):
    """cmnfriend/O-LoRA: orthogonal_loss += torch.abs(torch.mm(param, param_.T)).sum()"""
    made = prepare("tiny")
    torch.manual_seed(0)
    old = torch.randn(5, 32)
    adaptation = begun(made, {f"o_lora/{LAYER}": old})
    new = made.model.module.get_parameter(f"encoder.{LAYER}.lora_A.default.weight")
    expected = sum(abs(float(torch.dot(a, b))) for a in old for b in new.detach())
    found = adaptation.terms[0](Seen(made))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert adaptation.terms[0].strength == 0.5
    found.backward()
    torch.testing.assert_close(new.grad, torch.sign(new.detach() @ old.T) @ old, atol=1e-5, rtol=1e-5)


def test_each_run_leaves_its_directions_and_those_before_it(prepare):
    made = prepare("tiny")
    old = torch.randn(5, 32)
    adaptation = begun(made, {f"o_lora/{LAYER}": old})
    left = adaptation.leave()
    new = made.model.module.get_parameter(f"encoder.{LAYER}.lora_A.default.weight")
    assert torch.equal(left[f"o_lora/{LAYER}"], torch.cat([old, new]))
    assert left["o_lora/encoder.layer.1.output.dense"].shape == (3, 64)


def test_the_norms_are_those_of_every_a_and_b(prepare):
    made = prepare("tiny")
    adaptation = begun(made, {f"o_lora/{LAYER}": torch.randn(5, 32)}, size=0.1)
    found = adaptation.terms[1](Seen(made))
    expected = sum(
        float(p.detach().square().sum().sqrt())
        for name, p in made.model.module.named_parameters()
        if "lora_A" in name or "lora_B" in name
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_training_turns_away_from_the_old_directions(prepare):
    made = prepare("tiny")
    layer = "encoder.layer.0.attention.self.query"
    old = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    overlap = []
    for weight in (0.0, 5.0):
        made = prepare("tiny")
        record = registry.make(
            "method", {"use": "o_lora", "rank": 3, "run": "runs/a", "orthogonal": weight, "targets": "attention"}
        )
        earlier = Earlier(
            type(made.model)(
                copy.deepcopy(made.model.module), made.model.tokenizer, made.model.card, "pooled", "encoder", "head", ""
            ),
            made.task, made.space, 128, left=lambda: {f"o_lora/{layer}": old},
        )  # fmt: skip
        left, start = {}, copy.deepcopy(made.model.module)
        job = {
            "adaptations": [record.apply(made.model, made.setting)], "left": left, "start": start,
            "earlier": lambda run, found=earlier: found,
        }  # fmt: skip
        made.train(steps=40, rate=2e-3, job=job)
        overlap.append(float((old @ left[f"o_lora/{layer}"][4:].T).abs().sum()))
    assert overlap[1] < 0.5 * overlap[0]


def test_a_run_that_left_nothing_is_told(prepare):
    with pytest.raises(UserError, match="left no directions"):
        begun(prepare("tiny"), {})
