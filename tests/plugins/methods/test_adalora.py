"""AdaLoRA: updates of low rank whose ranks go where they matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from graftlm.contracts.method import Update
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn import adapters


def method(**fields):
    return registry.make("method", {"use": "adalora", **fields})


def diagonals(made):
    return {name: p for name, p in made.model.module.named_parameters() if "lora_E" in name}


def test_ranks_fall_to_the_budget_and_the_model_is_plain_at_the_end(prepare, logits_of):
    made = prepare("tiny", steps=20)
    before = set(made.model.module.state_dict())
    adaptation = method(rank=2, start_rank=4, warm=0.1, settle=0.3).apply(made.model, made.setting)
    layers = len(diagonals(made))
    assert adaptation.state.total() == 4 * layers
    finish, seen = adaptation.finish, {}

    def watched():
        seen["left"] = adaptation.state.left()
        seen["nonzero"] = sum(int((p != 0).sum()) for p in diagonals(made).values())
        finish()

    object.__setattr__(adaptation, "finish", watched)
    made.train(steps=20, rate=1e-2, job={"adaptations": [adaptation]})
    assert seen["left"] == seen["nonzero"] == 2 * layers
    assert set(made.model.module.state_dict()) == before
    assert logits_of(made).isfinite().all()


def test_the_budget_is_the_papers_cubic(prepare):
    made = prepare("tiny", steps=100)
    adaptation = method(rank=2, start_rank=6, warm=0.1, settle=0.4).apply(made.model, made.setting)
    ranks = adaptation.state
    count = len(diagonals(made))
    for step in range(100):
        torch.manual_seed(step)
        for p in made.model.module.parameters():
            p.grad = torch.randn_like(p) if p.requires_grad else None
        with torch.no_grad():
            for p in diagonals(made).values():
                p.add_(0.1 * torch.randn_like(p) + 0.5)
        ranks.after(Update(step, lambda name: 0.0))
        done = step + 1
        if done <= 10:
            expected = 6 * count
        elif done >= 60:
            expected = 2 * count
        else:  # algorithm 1: b_end + (b_0 - b_end) (1 - (t - t_i) / (T - t_i - t_f))^3
            expected = int(4 * count * (1 - (done - 10) / 50) ** 3 + 2 * count)
        assert ranks.left() == pytest.approx(expected, abs=1)


def test_what_is_held_near_orthogonal_is_what_the_formula_says(prepare):
    made = prepare("tiny")
    adaptation = method(rank=2, start_rank=4).apply(made.model, made.setting)
    penalty = adaptation.terms[0]

    class Look:
        model = made.model

    p, q = [], []
    for name, value in made.model.module.named_parameters():
        if "lora_B.default" in name:
            p.append(value)
        if "lora_A.default" in name:
            q.append(value)
    eye = torch.eye(4)
    sizes = [(a.T @ a - eye).square().sum().sqrt() for a in p] + [(a @ a.T - eye).square().sum().sqrt() for a in q]
    assert float(penalty(Look()).detach()) == pytest.approx(float(torch.stack(sizes).mean().detach()), rel=1e-6)


def test_a_run_in_which_no_rank_fell_fails(prepare):
    made = prepare("tiny", steps=50)
    adaptation = method().apply(made.model, made.setting)
    with pytest.raises(UserError, match="before any rank"):
        adaptation.finish()


def test_best_weights_of_before_any_rank_fell_are_kept_with_a_warning(prepare, caplog):
    made = prepare("tiny", steps=20)
    adaptation = method(rank=2, start_rank=4).apply(made.model, made.setting)
    before = {name: value.clone() for name, value in adaptation.state.state_dict().items()}

    def best_is_the_first():
        assert adaptation.state.left() < adaptation.state.total()
        adaptation.state.load_state_dict(before)
        adaptation.finish()

    made.train(steps=20, rate=1e-2, job={"adaptations": [replace(adaptation, finish=best_is_the_first)]})
    assert "before any rank was taken away, so that all" in caplog.text


def test_what_cannot_be_is_refused(prepare):
    made = prepare("tiny")
    assert "would not fall" in method(rank=8, start_rank=8).refuses(made.model, made.setting)
    assert "leave no steps" in method(warm=0.5, settle=0.5).refuses(made.model, made.setting)
    assert "wide" in method(rank=8, start_rank=64).refuses(made.model, made.setting)
    assert method().refuses(made.model, made.setting) is None


def test_kept_apart_the_ranks_that_are_left_are_plain_lora(prepare, logits_of):
    made = prepare("tiny", dropout=0.0, steps=30)
    kept = method(rank=2, start_rank=4, merge=False)
    adaptation = kept.apply(made.model, made.setting)
    given = {}

    def look():
        for name, part in adapters.layers(made.model.module).items():
            p, q, e = (getattr(part, f"lora_{letter}")["default"].detach() for letter in "BAE")
            given[name] = part.scaling["default"] / (part.ranknum["default"] + 1e-5) * p @ torch.diag(e[:, 0]) @ q
        given["logits"] = logits_of(made)

    finish = adaptation.finish
    made.train(steps=30, job={"adaptations": [replace(adaptation, finish=lambda: (look(), finish()))]})
    torch.testing.assert_close(logits_of(made), given.pop("logits"), atol=1e-5, rtol=1e-5)
    for name, (a, b) in adapters.lora_factors(made.model.module).items():
        torch.testing.assert_close(b @ a, given[name], atol=1e-6, rtol=1e-5)
        assert len(a) <= 4
