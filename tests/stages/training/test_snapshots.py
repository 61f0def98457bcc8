"""Exact resume: so many steps, a stop, and the rest give the same bits as an unbroken run."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch
from torch import nn

from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Adaptation
from graftlm.contracts.values import Score
from graftlm.core.errors import UserError
from graftlm.stages.training.checkpoints import Checkpoints
from graftlm.stages.training.loop import train

OPTIMIZERS = {
    "adamw": "adamw",
    "adafactor": "adafactor",
    "sgd": "sgd",
    "sgd_plain": {"use": "sgd", "momentum": 0},
}


class Learned(Loss):
    """Has a parameter and a buffer of its own, both changed while training."""

    source: ClassVar[str] = "test"

    def start(self, model, task, space):
        made = nn.Linear(space.size, 1)
        made.register_buffer("calls", torch.zeros(()))
        return made

    def __call__(self, look):
        look.state.calls += 1
        return look.state(look.outputs.logits).pow(2).mean() * (1 + look.state.calls)


class Average(nn.Module):
    """A moving average of one tensor of the model, and a random number a step."""

    def __init__(self, model):
        super().__init__()
        self.parameter = [model.module.head.weight]
        self.register_buffer("mean", self.parameter[0].detach().clone())

    def adaptation(self):
        def update(step):
            self.mean.lerp_(self.parameter[0].detach() + 1e-3 * torch.randn(()), 0.1)

        def finish():
            with torch.no_grad():
                self.parameter[0].copy_(self.mean)

        return Adaptation(after_update=update, finish=finish, state=self)


def job_of(made, steps=11, **changes):
    average = Average(made.model)
    return made.job(
        steps=steps, adaptations=[average.adaptation()], losses=(Learned(strength=0.1),), **changes
    )  # fmt: skip


def through_disk(snapshot, folder):
    store = Checkpoints(folder, keep=1)
    store.save(7, snapshot, fingerprint="f", best=False)
    return store.load(7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("stop_at", [1, 7])
def test_a_resumed_run_ends_with_the_same_bits(setup, tmp_path, optimizer, fast, stop_at):
    options = {
        "fast_dropout": fast, "working_vocabulary": True, "optimizer": OPTIMIZERS[optimizer], "schedule": "cosine",
        "warmup": 0.2, "micro_batch_size": 3,
    }  # fmt: skip
    unbroken = setup(dropout=0.2)
    section = unbroken.section(**options)
    list(train(job_of(unbroken), section, unbroken.accelerator))

    first = setup(dropout=0.2)
    running = train(job_of(first, stop=lambda: True), section, first.accelerator)
    for progress in running:
        if progress.step == stop_at:
            break
    saved = through_disk(progress.snapshot(), tmp_path)
    running.close()

    second = setup(dropout=0.2)
    torch.manual_seed(99)
    told = list(train(job_of(second, judge=lambda model: Score(0.1)), section, second.accelerator, saved))
    assert told[-1].step == 11
    expected, found = unbroken.weights(), second.weights()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_resume_in_bf16_with_a_frozen_prefix_is_exact_too(setup, tmp_path):
    def job(made, **changes):
        for path in [*made.model.before, made.model.blocks[0]]:
            made.model.module.get_submodule(path).requires_grad_(False)
        return made.job(steps=9, adaptations=[Adaptation(frozen=1)], **changes)

    section = setup().section(precision="bf16", fast_dropout=True, working_vocabulary=True)
    unbroken, first, second = (setup(dropout=0.2) for _ in range(3))
    list(train(job(unbroken), section, unbroken.accelerator))
    running = train(job(first, stop=lambda: True), section, first.accelerator)
    for progress in running:
        if progress.step == 5:
            break
    saved = through_disk(progress.snapshot(), tmp_path)
    assert not any("layer.0" in name or "embeddings" in name for name in saved["tensors"]), "what is frozen is not kept"
    running.close()
    list(train(job(second), section, second.accelerator, saved))
    expected, found = unbroken.weights(), second.weights()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_scores_and_patience_survive(setup, tmp_path):
    scores = [0.9, 0.5, 0.4, 0.95]
    section = setup().section(patience=3)
    made = setup()
    running = train(made.job(steps=40, judge=lambda model: Score(scores.pop(0))), section, made.accelerator)
    for progress in running:
        if progress.step == 8:
            break
    saved = through_disk(progress.snapshot(), tmp_path)
    running.close()
    assert saved["facts"]["best_score"] == 0.9
    left = [0.4, 0.3]
    again = setup()
    told = list(train(again.job(steps=40, judge=lambda model: Score(left.pop(0))), section, again.accelerator, saved))
    assert [progress.best for progress in told if progress.score] == [False, False]
    assert told[-1].step == 16
    assert "3 evaluations" in told[-1].note


def test_a_run_that_was_over_trains_no_further(setup, tmp_path):
    made = setup()
    told = made.train(steps=4, job={"judge": lambda model: Score(0.5)})
    saved = through_disk(told[-1].snapshot(), tmp_path)
    before = made.weights()
    again = setup()
    assert again.train(steps=4, resume=saved) == []
    assert all(torch.equal(before[name], tensor) for name, tensor in again.weights().items())


def test_a_run_that_had_stopped_early_trains_no_further(setup, tmp_path):
    scores = [0.9, 0.5]
    made = setup()
    told = made.train(steps=40, patience=1, job={"judge": lambda model: Score(scores.pop(0))})
    saved = through_disk(told[-1].snapshot(), tmp_path)
    assert told[-1].step == 8
    assert setup().train(steps=40, patience=1, resume=saved) == []


def test_the_time_that_was_spent_counts(setup, tmp_path):
    made = setup()
    saved = through_disk(made.train(steps=4)[-1].snapshot(), tmp_path)
    saved["facts"]["elapsed"] = 100.0
    assert setup().train(steps=1000, budget=99.0, resume=saved) == []


def test_a_snapshot_of_another_model_is_refused(setup, tmp_path):
    saved = through_disk(setup().train(steps=2)[-1].snapshot(), tmp_path)
    with pytest.raises(UserError, match=r"The checkpoint is of another model: \d+ tensors differ, such as 'encoder"):
        setup({"use": "tiny", "layers": 3}).train(steps=4, resume=saved)


def test_facts_are_json_and_tensors_are_no_pickles(setup):
    snapshot = setup().train(steps=2, optimizer="adafactor")[-1].snapshot()
    assert json.loads(json.dumps(snapshot["facts"]))["step"] == 2
    assert all(isinstance(tensor, torch.Tensor) for tensor in snapshot["tensors"].values())
