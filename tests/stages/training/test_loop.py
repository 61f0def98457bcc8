"""The one gradient loop: what it gives, in which order, and what it honours."""

from __future__ import annotations

import itertools
import math
import time
from typing import ClassVar

import pytest
import torch
from torch import nn

from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Adaptation
from graftlm.contracts.values import Score
from graftlm.core.errors import UserError
from graftlm.stages.training.loop import Loop, train


def close(first, second, atol=1e-6):
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(
            first[name], second[name], atol=atol, rtol=0, msg=lambda text, n=name: f"{n}: {text}"
        )


def equal(first, second):
    assert set(first) == set(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


class Drift(Loss):
    """Pulls the logits to nought."""

    source: ClassVar[str] = "test"

    def __call__(self, look):
        return look.outputs.logits.pow(2).mean(dim=1).mean()


class Alone(Drift):
    """The same, in place of the task's own loss."""

    replaces_task_loss: ClassVar[bool] = True


class Probing(Loss):
    """Notes what it saw."""

    source: ClassVar[str] = "test"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_states", "attentions", "second_pass"})
    seen: ClassVar[list] = []

    def __call__(self, look):
        again = look.again()
        self.seen.append((look, again))
        return 0 * look.outputs.logits.sum()


class Learned(Loss):
    """Has a parameter of its own, that trains."""

    source: ClassVar[str] = "test"

    def start(self, model, task, space):
        return nn.Linear(space.size, 1)

    def __call__(self, look):
        return look.state(look.outputs.logits).pow(2).mean() + 1 / look.state.weight.pow(2).sum()


def test_the_loss_falls(setup):
    told = setup(dropout=0.0).train(steps=60, rate=1e-2)
    assert told[-1].last
    assert told[-1].step == told[-1].steps == 60
    assert [progress.last for progress in told[:-1]] == [False] * (len(told) - 1)
    assert all(math.isfinite(progress.loss) for progress in told)
    first = setup(dropout=0.0).train(steps=1, rate=1e-9)[0].loss
    assert told[-1].loss < 0.7 * first


def test_its_loss_is_the_mean_of_the_batch(setup):
    made = setup(dropout=0.0)
    loop = Loop(made.job(), made.section(), made.accelerator)
    rows = loop.rows_of(0)
    batch = made.data.packed.batch(rows, made.model.tokenizer.pad_token_id)
    with torch.no_grad():
        logits = made.model.module(**batch).logits
    expected = nn.functional.cross_entropy(logits, torch.tensor([made.data.targets[row] for row in rows]))
    assert loop.update() == pytest.approx(float(expected), abs=1e-6)
    loop.close()


def test_the_order_is_a_function_of_seed_and_epoch(setup):
    made = setup()

    def order(seed, steps):
        loop = Loop(made.job(steps=8), made.section(seed=seed), made.accelerator)
        found = [loop.rows_of(step).tolist() for step in steps]
        loop.close()
        return found

    forward = order(0, range(8))
    assert order(0, reversed(range(8))) == forward[::-1]
    assert order(1, range(8)) != forward
    for epoch in (forward[:4], forward[4:]):
        assert sorted(itertools.chain(*epoch)) == list(range(15))
    assert forward[:4] != forward[4:]


@pytest.mark.parametrize("extra", [(), (Drift(strength=0.3),)])
def test_accumulated_micro_batches_equal_one_batch(setup, extra, monkeypatch):
    monkeypatch.setattr("graftlm.stages.training.loop.REPORT_SECONDS", 1e9)  # a slow machine reports between steps too
    runs = []
    for size in (None, 4, 3):
        made = setup(dropout=0.0, count=32)
        told = made.train(batch_size=16, micro_batch_size=size, steps=4, job={"losses": extra})
        runs.append((told[-1].loss, made.weights()))
    for loss, weights in runs[1:]:
        assert loss == pytest.approx(runs[0][0], abs=1e-6)
        # Adam divides by the root of a gradient that may be nearly nought, hence the wider bound of the weights
        close(weights, runs[0][1], atol=2e-5)


def test_accumulated_gradients_equal_those_of_one_batch(setup):
    found = []
    for size in (None, 4):
        made = setup(dropout=0.0, count=32)
        loop = Loop(made.job(batch_size=16), made.section(batch_size=16, micro_batch_size=size), made.accelerator)
        loop.gradient(loop.micro_batches(loop.rows_of(0)))
        found.append({name: p.grad for name, p in made.model.module.named_parameters()})
        loop.close()
    close(*found, atol=1e-6)


def test_a_loss_beside_the_tasks_own_adds_its_strength_times_its_mean(setup):
    losses = {}
    for name, extra in {"none": (), "half": (Drift(strength=0.5),), "alone": (Alone(strength=0.5),)}.items():
        losses[name] = setup(dropout=0.0).train(steps=1, job={"losses": extra})[0].loss
    assert losses["half"] == pytest.approx(losses["none"] + losses["alone"], abs=1e-6)
    assert losses["alone"] > 0


def test_a_loss_in_place_of_the_tasks_own_is_all_that_trains(setup):
    made = setup(dropout=0.0)
    made.train(steps=40, rate=1e-2, job={"losses": (Alone(),)})
    batch = made.data.packed.batch(list(range(15)), made.model.tokenizer.pad_token_id)
    assert made.model.module(**batch).logits.abs().max() < 0.1


def test_two_losses_in_place_of_the_tasks_own_are_added_up_and_it_is_said(setup, caplog):
    one, two = (
        setup(dropout=0.0).train(steps=1, job={"losses": losses})[0].loss for losses in ((Alone(),), (Alone(), Alone()))
    )
    assert two == pytest.approx(2 * one, abs=1e-6)
    assert caplog.text.count("each stand in for the task's own, and are added up") == 1


@pytest.mark.parametrize("place", ["loss", "term"])
def test_a_loss_gets_what_it_needs(setup, place):
    Probing.seen.clear()
    made = setup(dropout=0.3)
    own = made.model.module.config._attn_implementation
    job = {"losses": (Probing(),)} if place == "loss" else {"adaptations": [Adaptation(terms=(Probing(),))]}
    made.train(steps=1, fast_dropout=True, job=job)
    (look, again) = Probing.seen[0]
    size, length = look.batch.inputs["input_ids"].shape
    assert [tuple(each.shape) for each in look.outputs.hidden_states] == [(size, length, 32)] * 3
    assert [tuple(each.shape) for each in look.outputs.attentions] == [(size, 4, length, length)] * 2
    assert not torch.equal(again.logits, look.outputs.logits), "the second pass has other dropout masks"
    assert tuple(look.outputs.pooled.shape) == (size, 32)
    assert made.model.module.config._attn_implementation == own


@pytest.mark.parametrize("place", ["loss", "term"])
def test_the_parameters_of_a_loss_train(setup, place):
    made = setup()
    job = {"losses": (Learned(),)} if place == "loss" else {"adaptations": [Adaptation(terms=(Learned(),))]}
    loop = Loop(made.job(**job), made.section(), made.accelerator)
    before = [p.detach().clone() for p in loop.states.parameters()]
    assert len(before) == 2
    loop.update()
    loop.close()
    assert all(not torch.equal(old, new) for old, new in zip(before, loop.states.parameters(), strict=True))


def test_an_adaptation_is_honoured(setup):
    made = setup()
    calls = []

    def wrap(name):
        def outer(inner):
            def gradient(batches):
                calls.append(f"{name} before")
                loss = inner(batches)
                calls.append(f"{name} after")
                return loss

            return gradient

        return outer

    def updated(update):
        grads = [p.grad for p in made.model.module.parameters()]
        calls.append(f"updated {update.step} {any(g is not None for g in grads)}")

    first = Adaptation(wrap=wrap("first"), after_update=updated, finish=lambda: calls.append("first finished"))
    second = Adaptation(wrap=wrap("second"), finish=lambda: calls.append("second finished"))
    made.train(steps=2, job={"adaptations": [first, second]})
    around = ["first before", "second before", "second after", "first after"]
    assert calls == [*around, "updated 0 True", *around, "updated 1 True", "second finished", "first finished"]


def test_a_wrap_finds_its_own_gradient_alone_and_an_outer_one_gets_the_sum(setup):
    made, found = setup(dropout=0.0), []
    weight = made.model.module.head.weight

    def twice(inner):
        def gradient(batches):
            loss = inner(batches)
            inner(batches)
            return loss

        return gradient

    def tenfold(inner):
        def gradient(batches):
            assert weight.grad is None
            loss = inner(batches)
            found.append(weight.grad.clone())
            weight.grad.mul_(10)
            return loss

        return gradient

    adaptations = [Adaptation(wrap=twice), Adaptation(wrap=tenfold)]
    loop = Loop(made.job(adaptations=adaptations), made.section(), made.accelerator)
    loop.gradient(loop.micro_batches(loop.rows_of(0)))
    loop.close()
    assert len(found) == 2
    assert found[0].abs().sum() > 0
    torch.testing.assert_close(weight.grad, 10 * (found[0] + found[1]))


def test_rates_multiply_the_learning_rate_by_prefix(setup):
    made = setup()
    before = made.weights()
    slow = Adaptation(rates={"encoder": 0.5, "encoder.embeddings": 0.0})
    loop = Loop(made.job(rate=1e-3, adaptations=[slow]), made.section(schedule="constant"), made.accelerator)
    assert sorted({group["lr"] for group in loop.optimizer.param_groups}) == [0, 5e-4, 1e-3]
    loop.update()
    loop.close()
    after = made.weights()
    assert torch.equal(before["encoder.embeddings.word_embeddings.weight"],
                       after["encoder.embeddings.word_embeddings.weight"])  # fmt: skip
    assert not torch.equal(before["encoder.encoder.layer.0.output.dense.weight"],
                           after["encoder.encoder.layer.0.output.dense.weight"])  # fmt: skip


def test_the_state_of_a_method_trains_and_may_hold_parameters_of_the_model(setup):
    made = setup()
    state = nn.ModuleDict({"own": nn.Linear(2, 2), "shared": made.model.module.head})
    loop = Loop(made.job(adaptations=[Adaptation(state=state)]), made.section(), made.accelerator)
    held = [id(p) for group in loop.optimizer.param_groups for p in group["params"]]
    loop.close()
    assert len(held) == len(set(held))
    assert {id(p) for p in state.parameters()} <= set(held)


def test_a_loss_that_is_not_finite_stops_with_advice(setup):
    class Broken(Drift):
        def __call__(self, look):
            return look.outputs.logits.sum() * float("nan")

    made = setup()
    with pytest.raises(UserError, match=r"The loss became nan at step 1 .*Lower it \(--set train.optimizer.rate"):
        made.train(steps=3, fast_dropout=True, working_vocabulary=True, job={"losses": (Broken(),)})
    assert type(made.model.module.get_submodule("encoder.embeddings.word_embeddings")) is nn.Embedding


def test_the_gradient_is_clipped(setup):
    norms = []
    for clip in (0.0, 0.01):
        made = setup(dropout=0.0)
        job = made.job(adaptations=[Adaptation(after_update=lambda update, m=made: norms.append(norm(m)))])
        loop = Loop(job, made.section(clip=clip), made.accelerator)
        loop.update()
        loop.close()
    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


def norm(made):
    return float(torch.stack([p.grad.norm() for p in made.model.module.parameters() if p.grad is not None]).norm())


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd", "constant"])
def test_the_rate_follows_the_schedule(setup, schedule):
    from graftlm.nn.schedules import multiplier

    made = setup()
    loop = Loop(made.job(steps=9, rate=1e-3), made.section(schedule=schedule, warmup=0.3), made.accelerator)
    for step in range(9):
        loop.update()
        expected = 1e-3 * multiplier(schedule, (step + 1) / 10, 0.3)
        assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9)
    loop.close()


def test_a_budget_ends_in_time_and_the_schedule_with_it(setup):
    made = setup()
    began = time.monotonic()
    told = made.train(steps=1_000_000, budget=0.6, evaluate_every=1e6, job={"judge": lambda model: Score(0.5)})
    assert 0.5 < time.monotonic() - began < 1.5
    assert told[-1].last
    assert told[-1].score is not None, "the last step is judged"
    assert 1 < told[-1].step < 1_000_000
    assert told[-1].rate < 0.5 * 3e-3  # a step on a busy machine may take a good part of the time


def test_early_stopping(setup, judge_of):
    told = setup().train(steps=40, patience=2, job={"judge": judge_of([0.5, 0.6, 0.6, 0.55, 0.9])})
    scores = [progress for progress in told if progress.score]
    assert [progress.score.value for progress in scores] == [0.5, 0.6, 0.6, 0.55]
    assert [progress.best for progress in scores] == [True, True, False, False]
    assert [progress.step for progress in scores] == [4, 8, 12, 16]
    assert told[-1].last
    assert told[-1].note == "no improvement in 2 evaluations: stopped early"


def test_a_lower_score_may_be_the_better_one(setup):
    left = [0.5, 0.7, 0.4]
    told = setup().train(steps=12, job={"judge": lambda model: Score(left.pop(0), higher_is_better=False)})
    assert [progress.best for progress in told if progress.score] == [True, False, True]


def test_it_evaluates_as_often_as_asked_and_at_the_end(setup, judge_of):
    told = setup().train(steps=9, evaluate_every=0.5, job={"judge": judge_of([0.1] * 9)})
    assert [progress.step for progress in told if progress.score] == [2, 4, 6, 8, 9]


def test_the_best_weights_come_back(setup, judge_of):
    made = setup()
    kept = {}
    job = made.job(steps=12, judge=judge_of([0.2, 0.9, 0.3]), best=lambda: kept.get("tensors"))
    weights = {}
    for progress in train(job, made.section(), made.accelerator):
        if progress.best:
            kept["tensors"] = {name: t.clone() for name, t in progress.snapshot()["tensors"].items()}
        if progress.score:
            weights[progress.step] = made.weights()
    equal(made.weights(), weights[8])
    assert not torch.equal(weights[8]["head.weight"], weights[12]["head.weight"])


def test_the_judge_sees_the_model_as_it_would_be_saved(setup):
    made = setup(dropout=0.5)
    seen = []

    def judge(model):
        batch = made.data.packed.batch(list(range(15)), model.tokenizer.pad_token_id)
        training = model.module.training
        model.module.eval()
        with torch.no_grad():
            seen.append(model.module(**batch).logits)
        model.module.train(training)
        return Score(0.0)

    made.train(steps=4, fast_dropout=True, working_vocabulary=True, job={"judge": judge})
    batch = made.data.packed.batch(list(range(15)), made.model.tokenizer.pad_token_id)
    assert not made.model.module.training
    with torch.no_grad():
        torch.testing.assert_close(made.model.module(**batch).logits, seen[-1], atol=1e-6, rtol=1e-6)


def test_it_stops_for_a_progress_when_asked(setup):
    steps = [progress.step for progress in setup().train(steps=5, job={"stop": lambda: True})]
    assert steps == [1, 2, 3, 4, 5]


def test_progress_counts_examples_tokens_and_padding(setup):
    told = setup().train(steps=8)
    assert told[-1].epoch == 2.0
    assert told[-1].examples_per_second > 0
    assert told[-1].tokens_per_second > told[-1].examples_per_second
    assert 0 <= told[-1].padding_share < 0.6
    assert told[-1].seconds_left == 0


def test_closing_early_makes_the_model_whole(setup):
    made = setup()
    plain = [(name, type(part)) for name, part in made.model.module.named_modules()]
    section = made.section(fast_dropout=True, working_vocabulary=True)
    running = train(made.job(stop=lambda: True), section, made.accelerator)
    next(running)
    assert [(name, type(part)) for name, part in made.model.module.named_modules()] != plain
    running.close()
    assert [(name, type(part)) for name, part in made.model.module.named_modules()] == plain


@pytest.mark.parametrize("fast", [True, False])
def test_the_seed_alone_decides(setup, fast):
    runs = {}
    for noise, seed in ((1, 0), (2, 0), (2, 1)):
        made = setup(dropout=0.2)
        torch.manual_seed(noise)
        made.train(steps=6, seed=seed, fast_dropout=fast, working_vocabulary=True, job={"losses": (Learned(),)})
        runs[noise, seed] = made.weights()
    equal(runs[1, 0], runs[2, 0])
    assert not torch.equal(runs[2, 0]["head.weight"], runs[2, 1]["head.weight"])
