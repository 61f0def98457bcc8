"""Fitting: methods in order, refusals together, checkpoints kept, the best weights back."""

from __future__ import annotations

import json
import logging
from typing import ClassVar

import pytest
import torch

from graftlm.contracts.augmentation import Augmentation
from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Adaptation, Method
from graftlm.contracts.values import Score
from graftlm.core import registry
from graftlm.core.errors import Interrupted, RecipeError, UserError
from graftlm.recipe import TrainSection
from graftlm.stages.training.fitting import Wanted, fit

CALLS: list[str] = []


class _Noted(Method):
    source: ClassVar[str] = "test"

    def apply(self, model, setting):
        CALLS.append(f"{self.layout} applied")
        return Adaptation(finish=lambda: CALLS.append(f"{self.layout} finished"))


class Keeps(_Noted):
    """Adds something that stays."""

    layout: ClassVar[str] = "keeps"


class Merges(_Noted):
    """Adds something that is folded away."""

    layout: ClassVar[str] = "merges"


class Refuses(Method):
    """Never works."""

    source: ClassVar[str] = "test"

    def refuses(self, model, setting):
        return f"it has {setting.rows} rows and {setting.steps} steps on '{model.card.name}'"

    def apply(self, model, setting):
        raise AssertionError("applied")


class Never(Loss):
    """Never works either."""

    source: ClassVar[str] = "test"

    def refuses(self, model, task):
        return f"the task is '{task.name()}'"

    def __call__(self, look):
        raise AssertionError("called")


class Twice(Augmentation):
    """Gives each example twice."""

    source: ClassVar[str] = "test"

    def expand(self, example, rng):
        yield example
        yield example


FULL = registry.make("method", {"use": "full", "head": "random"})


class Fitting:
    def __init__(self, rows, *, methods=(FULL,), losses=(), augmentations=(), **section):
        plain = {"batch_size": 4, "precision": "fp32", "device": "cpu", "epochs": 3, "optimizer": {"rate": 3e-3}}
        plain["optimizer"] = {"use": "adamw", "rate": 3e-3}
        self.rows, self.task = rows, registry.make("task", "classification")
        backbone = registry.make("backbone", "tiny")
        made = TrainSection(**{**plain, **section})
        self.wanted = Wanted(made, backbone, self.task, methods, losses, augmentations)
        self.base, self.space = backbone.open(), self.task.space(rows)

    def __call__(self, **options):
        plain = {"limit": 128, "probe": lambda: None}
        return fit(self.wanted, self.base, self.space, self.rows, **{**plain, **options})


def weights(trained):
    return {name: tensor.clone() for name, tensor in trained.model.module.state_dict().items()}


def test_methods_apply_as_keeps_same_merges_and_finish_in_reverse(make_rows):
    CALLS.clear()
    Fitting(make_rows(), methods=(Merges(), FULL, Keeps()), epochs=1)()
    assert CALLS == ["keeps applied", "merges applied", "merges finished", "keeps finished"]


def test_all_refusals_are_told_together_before_anything_is_changed(make_rows):
    with pytest.raises(RecipeError) as caught:
        Fitting(make_rows(), methods=(Refuses(), FULL, FULL), losses=(Never(),))()
    assert str(caught.value) == (
        "These cannot work together:\n"
        "  method 'test_fitting': it has 15 rows and 12 steps on 'tiny'.\n"
        "  loss 'test_fitting': the task is 'classification'.\n"
        "  a method stands twice in methods."
    ).replace("test_fitting", Refuses.name())


def test_no_method_at_all_is_refused(make_rows):
    with pytest.raises(RecipeError, match="methods is empty: name at least one, such as `full`"):
        Fitting(make_rows(), methods=())()


def test_the_best_weights_are_in_the_model(make_rows, judge_of, tmp_path):
    seen = {}

    def watch(progress):
        if progress.score:
            seen[progress.step] = {n: t.clone() for n, t in progress.snapshot()["tensors"].items()}

    trained = Fitting(make_rows())(judge=judge_of([0.3, 0.8, 0.5]), folder=tmp_path, watch=watch)
    assert (trained.epochs, trained.steps, trained.solved) == (2.0, 12, False)
    final = weights(trained)
    assert torch.equal(final["head.weight"], seen[8]["weights.head.weight"])
    assert [entry["score"] for entry in trained.history if entry["score"]] == [0.3, 0.8, 0.5]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-00000008", "step-00000012"}


def test_without_a_judge_the_last_weights_stay(make_rows, tmp_path):
    seen = []
    trained = Fitting(make_rows())(
        folder=tmp_path,
        watch=lambda p: seen.append(p.snapshot()["tensors"]["weights.head.weight"].clone()) if p.last else None,
    )
    assert torch.equal(weights(trained)["head.weight"], seen[0])
    assert trained.epochs == 3


def test_a_damaged_best_checkpoint_is_told_and_the_last_weights_stay(make_rows, judge_of, tmp_path, caplog):
    def watch(progress):
        if progress.last:
            path = tmp_path / "checkpoints" / "step-00000004" / "tensors.safetensors"
            path.write_bytes(path.read_bytes()[:-1])

    with caplog.at_level(logging.WARNING, "graftlm"):
        trained = Fitting(make_rows(), epochs=2)(judge=judge_of([0.9, 0.1]), folder=tmp_path, watch=watch)
    assert "weights of the last step are kept instead of those of step 4" in caplog.text
    assert trained.steps == 8


def stopped(fitting, folder, at, **options):
    def watch(progress):
        if progress.step >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitting(folder=folder, watch=watch, **options)


@pytest.mark.parametrize("at", [4, 8])
def test_a_killed_and_resumed_fit_ends_as_an_unbroken_one(make_rows, judge_of, tmp_path, at):
    scores = [0.3, 0.8, 0.5]
    unbroken = Fitting(make_rows())(judge=judge_of(scores), folder=tmp_path / "a", fingerprint="x")
    stopped(Fitting(make_rows()), tmp_path / "b", at, judge=judge_of(scores), fingerprint="x")
    resumed = Fitting(make_rows())(
        judge=judge_of(scores[at // 4 :]), folder=tmp_path / "b", resume=True, fingerprint="x"
    )
    expected, found = weights(unbroken), weights(resumed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert resumed.epochs == unbroken.epochs == 2.0
    assert resumed.steps == unbroken.steps == 12

    def scored(trained):
        return [(one["step"], one["score"], one["best"]) for one in trained.history if one["score"]]

    assert scored(resumed) == scored(unbroken)


def test_resume_passes_a_damaged_checkpoint_over(make_rows, judge_of, tmp_path):
    scores = [0.3, 0.8, 0.5]
    unbroken = Fitting(make_rows(), keep=2)(judge=judge_of(scores), folder=tmp_path / "a")
    stopped(Fitting(make_rows(), keep=2), tmp_path / "b", 8, judge=judge_of(scores))
    path = tmp_path / "b" / "checkpoints" / "step-00000008" / "facts.json"
    path.write_text("{", encoding="utf-8")
    resumed = Fitting(make_rows(), keep=2)(judge=judge_of(scores[1:]), folder=tmp_path / "b", resume=True)
    expected, found = weights(unbroken), weights(resumed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_a_checkpoint_of_another_recipe_is_refused(make_rows, judge_of, tmp_path):
    stopped(Fitting(make_rows()), tmp_path, 4, judge=judge_of([0.1]), fingerprint="one")
    with pytest.raises(UserError, match="was made with another recipe or other data; it cannot be resumed"):
        Fitting(make_rows())(folder=tmp_path, resume=True, fingerprint="two")


def test_a_new_fit_does_not_take_over_what_an_old_one_left(make_rows, judge_of, tmp_path):
    stopped(Fitting(make_rows(), epochs=5), tmp_path, 16, judge=judge_of([0.1, 0.9, 0.2, 0.95]))
    trained = Fitting(make_rows(), epochs=2)(judge=judge_of([0.5, 0.4]), folder=tmp_path)
    assert trained.epochs == 1.0
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"step-00000004", "step-00000008"}


def test_a_signal_ends_it_with_a_checkpoint(make_rows, tmp_path):
    import os
    import signal

    def watch(progress):
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="Stopped by SIGTERM at step 5 of 12") as caught:
        Fitting(make_rows())(folder=tmp_path, watch=watch, judge=lambda model: Score(0.5))
    assert caught.value.exit_code == 130
    facts = json.loads((tmp_path / "checkpoints" / "step-00000005" / "facts.json").read_text(encoding="utf-8"))
    assert facts["step"] == 5


def test_augmentations_make_more_steps(make_rows, caplog):
    with caplog.at_level(logging.INFO, "graftlm"):
        trained = Fitting(make_rows(), augmentations=(Twice(),), epochs=1)()
    assert trained.steps == 8
    assert "working vocabulary: off, because other text" in caplog.text


def test_so_many_epochs_may_be_asked_for(make_rows):
    trained = Fitting(make_rows(), epochs=9, budget=1000)(epochs=1.5)
    assert trained.steps == 6


def test_a_solved_method_makes_no_step(make_rows):
    from graftlm.contracts.method import Linear

    weight, bias = torch.randn(3, 32).numpy(), torch.randn(3).numpy()
    trained = Fitting(make_rows(), methods=(registry.make("method", "probe"),))(probe=lambda: Linear(weight, bias, 1.0))
    assert (trained.solved, trained.steps) == (True, 0)
    assert torch.equal(weights(trained)["head.weight"], torch.from_numpy(weight))
