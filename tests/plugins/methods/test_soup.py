"""Soups against means and choices written out here."""

from __future__ import annotations

import copy

import pytest
import torch

from graftlm.contracts.ground import Earlier, Ground
from graftlm.contracts.method import Adaptation, Update
from graftlm.contracts.values import Score, Space
from graftlm.core import registry
from graftlm.core.errors import UserError


@pytest.mark.parametrize("working", [False, True])
def test_uniform_it_is_the_mean_of_the_end_and_the_steps(prepare, working):
    made, seen = prepare("tiny"), []
    record = registry.make("method", {"use": "soup", "steps": 2, "recipe": "uniform"})
    plain = prepare("tiny")
    watch = Adaptation(
        after_update=lambda update: seen.append(
            {n: p.detach().clone() for n, p in plain.model.module.named_parameters()}
        )
    )
    full = registry.make("method", "full").apply(plain.model, plain.setting)
    plain.train(steps=8, job={"adaptations": [full, watch]})
    made.train(steps=8, working_vocabulary=working, job={"adaptations": [record.apply(made.model, made.setting)]})
    # 8 steps: the second half's ends of two equal parts are updates 5 and 7; update 7 is the end, and counts once
    for name, p in made.model.module.named_parameters():
        mean = (seen[5][name].double() + seen[7][name].double()) / 2
        torch.testing.assert_close(p.double(), mean, atol=1e-6, rtol=1e-5)


def test_steps_after_the_best_one_are_ingredients_too(prepare):
    """Evaluations at updates 4 and 8 (epochs of four); the first is the better one. Steps are updates 5 and 7."""
    from graftlm.stages.training.loop import train

    made, plain, seen = prepare("tiny"), prepare("tiny"), []
    watch = Adaptation(
        after_update=lambda update: seen.append(
            {n: p.detach().clone() for n, p in plain.model.module.named_parameters()}
        )
    )
    full = registry.make("method", "full").apply(plain.model, plain.setting)
    plain.train(steps=8, job={"adaptations": [full, watch]})
    soup = registry.make("method", {"use": "soup", "steps": 2, "recipe": "uniform"})
    scores, kept = [0.9, 0.1], {}
    job = made.job(
        steps=8, adaptations=[soup.apply(made.model, made.setting)], best=lambda: kept["best"],
        judge=lambda model: Score(scores.pop(0)),
    )  # fmt: skip
    for progress in train(job, made.section(), made.accelerator):
        if progress.best:
            kept["best"] = {n: t.clone() for n, t in progress.snapshot()["tensors"].items()}
    for name, p in made.model.module.named_parameters():
        mean = sum(seen[step][name].double() for step in (3, 5, 7)) / 3
        torch.testing.assert_close(p.double(), mean, atol=1e-6, rtol=1e-5)


def cook(made, runs, judge, **options):
    """Let a soup of the model as it is and of earlier runs' models be made."""
    record = registry.make("method", {"use": "soup", "steps": 0, "runs": list(runs), **options})
    adaptation = record.apply(made.model, made.setting)
    start = copy.deepcopy(made.model.module)
    adaptation.begin(Ground(made.model, made.task, made.space, start=start, judge=judge, earlier=lambda run: runs[run]))
    adaptation.after_update(Update(0, lambda name: 1e-3))
    adaptation.finish()


def another(made, shift):
    module = copy.deepcopy(made.model.module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(shift)
    model = type(made.model)(module, made.model.tokenizer, made.model.card, "pooled", "encoder", "head", "")
    return Earlier(model, made.task, made.space, 128)


def value_of(start, model):
    """Return by how much all weights are shifted from the start."""
    return float((model.module.head.bias.detach() - start["head.bias"]).mean())


def test_greedy_keeps_what_does_not_lower_the_score(prepare):
    """Shifts 0 (this run), 1, 3, -6; the score falls with the distance from 1.6. Alone: 1 (0.6), 3 (1.4), 0 (1.6),
    -6 (7.6). 1 goes in; with 3 the mean is 2 (0.4): in; with 0 it is 4/3 (0.27): in; with -6 it is -0.5: out."""
    made = prepare("tiny")
    registry.make("method", "full").apply(made.model, made.setting)
    start = made.weights()
    runs = {f"runs/{shift}": another(made, float(shift)) for shift in (1, 3, -6)}
    cook(made, runs, lambda model: Score(-abs(value_of(start, model) - 1.6)))
    assert value_of(start, made.model) == pytest.approx(4 / 3, abs=1e-5)


def test_a_lower_score_may_be_the_better_one(prepare):
    made = prepare("tiny")
    registry.make("method", "full").apply(made.model, made.setting)
    start = made.weights()
    runs = {"runs/a": another(made, 4.0)}
    cook(made, runs, lambda model: Score(abs(value_of(start, model) - 4.0), higher_is_better=False))
    assert value_of(start, made.model) == pytest.approx(4.0, abs=1e-5)


def test_without_validation_rows_everything_goes_in(prepare):
    made = prepare("tiny")
    registry.make("method", "full").apply(made.model, made.setting)
    start = made.weights()
    cook(made, {"runs/a": another(made, 4.0)}, None)
    assert value_of(start, made.model) == pytest.approx(2.0, abs=1e-5)


def test_other_labels_or_another_model_are_told(prepare):
    made, other = prepare("tiny"), another(prepare("tiny"), 1.0)
    odd = Earlier(other.model, made.task, Space(("x", "y", "z"), 3), 128)
    with pytest.raises(UserError, match="other labels"):
        cook(made, {"runs/a": odd}, None)
    wide = prepare({"use": "tiny", "width": 16})
    with pytest.raises(UserError, match="built differently"):
        cook(made, {"runs/a": Earlier(wide.model, made.task, made.space, 128)}, None)


def test_beside_adapters_or_another_average_it_is_refused(prepare):
    record = registry.make("method", "soup")
    for other, word in (("lora", "freezes"), ("ema", "average")):
        made = prepare("tiny", methods=("soup", other))
        assert word in record.refuses(made.model, made.setting)
