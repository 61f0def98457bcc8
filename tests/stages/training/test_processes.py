"""Several processes that train together, played by threads: the same losses and weights as one, and one end for all."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import torch

from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Adaptation
from graftlm.contracts.values import Score
from graftlm.core.errors import GraftError, UserError
from graftlm.stages.training.loop import Loop, train
from graftlm.stages.training.processes import Shortage, Together
from graftlm.stages.training.stopping import Stop

LIMIT = 30  # seconds after which a side that waits for another one gives up


class Table:
    """Where the sides meet: sums in the order of the ranks, the first one's tensor for all."""

    def __init__(self, world: int) -> None:
        self.barrier = threading.Barrier(world)
        self.given: list[torch.Tensor] = [torch.zeros(0)] * world

    def exchange(self, rank: int, tensor: torch.Tensor, how) -> torch.Tensor:
        self.given[rank] = tensor.detach().clone()
        self.barrier.wait(LIMIT)
        found = how(self.given)
        self.barrier.wait(LIMIT)
        with torch.no_grad():
            return tensor.copy_(found)


class Side(Together):
    """One of the processes."""

    def __init__(self, rank: int, table: Table) -> None:
        super().__init__(rank, len(table.given), torch.device("cpu"), self._lost)
        self.table = table

    def _lost(self, fault):
        return GraftError(f"another one is gone ({type(fault).__name__})")

    def _sum(self, tensor):
        try:
            return self.table.exchange(self.rank, tensor, lambda given: torch.stack(given).sum(0))
        except threading.BrokenBarrierError as fault:
            self.broken = True
            raise self.lost(fault) from None

    def _send(self, tensor):
        try:
            return self.table.exchange(self.rank, tensor, lambda given: given[0])
        except threading.BrokenBarrierError as fault:
            self.broken = True
            raise self.lost(fault) from None


def together(world: int, work) -> list:
    """Return what `work(side)` gives on each side, or its exception."""
    table, out = Table(world), [None] * world

    def run(rank: int) -> None:
        try:
            out[rank] = work(Side(rank, table))
        except Exception as fault:
            out[rank] = fault
            time.sleep(0.2)  # those that woke up together have left the barrier by now
            table.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a side hangs"
    return out


def steps(made, side, *, job=None, resume=None, stop=None, steps=8, **changes):
    """Train with one side's setup, a Progress after each step; return the losses."""
    section = made.section(**changes)
    stop = stop or Stop(side is not None)
    made_job = made.job(steps=steps, batch_size=section.batch_size, **{"stop": stop, **(job() if job else {})})
    told = []
    for progress in train(made_job, section, side or made.accelerator, resume):
        told.append(progress)
    return [each.loss for each in told]


@pytest.fixture
def every_step(monkeypatch):
    """Let each step be told of."""
    monkeypatch.setattr("graftlm.stages.training.loop.REPORT_SECONDS", -1.0)


def same_weights(one, many, atol=2e-5):
    for name, tensor in one.weights().items():
        if name.endswith("key.bias"):
            continue  # attention does not depend on it: its gradient is rounding alone, which optimizers blow up
        torch.testing.assert_close(many.weights()[name], tensor, atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize(("world", "count", "changes"), [
    (2, 13, {}),  # a last batch of one row: the second process has none
    (3, 13, {"batch_size": 8, "micro_batch_size": 2}),
    (2, 12, {"optimizer": {"use": "adafactor"}, "clip": 0.05}),
])  # fmt: skip
def test_losses_and_weights_are_those_of_one(setup, every_step, world, count, changes):
    one, many = setup(count=count, dropout=0.0), [setup(count=count, dropout=0.0) for _ in range(world)]
    expected = steps(one, None, **changes)
    found = together(world, lambda side: steps(many[side.rank], side, **changes))
    for losses in found:
        assert losses == pytest.approx(expected, abs=1e-6), losses
    for made in many:
        same_weights(one, made)
    assert [n for n, t in many[0].weights().items() if not torch.equal(t, many[1].weights()[n])] == []


def test_every_row_of_a_batch_is_seen_once(setup, monkeypatch):
    many, seen, inner = [setup(count=13, dropout=0.0) for _ in range(3)], [], Loop.micro_batches

    def micro_batches(loop, rows):
        out = inner(loop, rows)
        seen.extend((loop.step, int(row)) for batch in out for row in batch.rows)
        return out

    monkeypatch.setattr(Loop, "micro_batches", micro_batches)
    assert not any(
        isinstance(one, Exception) for one in together(3, lambda side: steps(many[side.rank], side, steps=8))
    )
    assert sorted(row for step, row in seen if step < 4) == list(range(13))
    assert sorted(row for step, row in seen if step >= 4) == list(range(13))


@pytest.mark.parametrize("clear", [False, True])
def test_methods_round_the_gradient(setup, every_step, clear):
    """A second pass beside the first one (FGM), or in its place with other weights (SAM)."""

    def job(made):
        def wrap(inner):
            def both(batches):
                loss = inner(batches)
                body = [p for p in made.model.module.parameters() if p.grad is not None]
                moves = [0.05 * p.grad / (p.grad.norm() + 1e-12) for p in body]
                if clear:
                    made.model.module.zero_grad()
                with torch.no_grad():
                    for p, move in zip(body, moves, strict=True):
                        p.add_(move)
                inner(batches)
                with torch.no_grad():
                    for p, move in zip(body, moves, strict=True):
                        p.sub_(move)
                return loss

            return both

        return lambda: {"adaptations": [Adaptation(wrap=wrap)]}

    one, many = setup(count=9, dropout=0.0), [setup(count=9, dropout=0.0) for _ in range(2)]
    expected = steps(one, None, job=job(one))
    found = together(2, lambda side: steps(many[side.rank], side, job=job(many[side.rank])))
    assert found[0] == found[1] == pytest.approx(expected, abs=1e-5)
    same_weights(one, many[1], atol=2e-5)


class Remembers(Loss):
    """Keeps what it has seen of each row, a running mean, and a count of steps; pulls with a projection of its own."""

    def start(self, model, task, space):
        state = torch.nn.Module()
        state.register_buffer("rows", torch.zeros(13))
        state.register_buffer("mean", torch.zeros(()))
        state.register_buffer("count", torch.zeros((), dtype=torch.long))
        state.scale = torch.nn.Linear(3, 1)
        torch.nn.init.constant_(state.scale.weight, 0.1)
        torch.nn.init.constant_(state.scale.bias, 0.0)
        return state

    def __call__(self, look):
        state, logits = look.state, look.outputs.logits
        with torch.no_grad():
            state.rows[torch.as_tensor(look.batch.rows)] = logits.detach()[:, 0]
            state.mean.mul_(0.9).add_(0.1)
            state.count.add_(1)
        return (state.scale(logits) ** 2).mean()


def test_run_objects(setup, every_step, monkeypatch):
    loops = []
    inner = Loop.close
    monkeypatch.setattr(Loop, "close", lambda loop: (loops.append(loop), inner(loop)))
    one, many = setup(count=12, dropout=0.0), [setup(count=12, dropout=0.0) for _ in range(2)]
    job = lambda: {"losses": [Remembers()]}  # noqa: E731
    expected = steps(one, None, job=job, steps=6)
    found = together(2, lambda side: steps(many[side.rank], side, job=job, steps=6))
    assert found[0] == found[1] == pytest.approx(expected, abs=1e-5)
    states = [loop.states.state_dict() for loop in loops]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-5, rtol=0, msg=name)
        assert torch.equal(states[1][name], states[2][name]), name


def test_a_parameter_that_nobody_uses_keeps_no_gradient(setup):
    found = {}

    def job(made, rank):
        state = torch.nn.Linear(2, 1)
        found[rank] = (state, state.weight.detach().clone())
        return lambda: {"adaptations": [Adaptation(state=state)]}

    many = [setup(count=8, dropout=0.0) for _ in range(2)]
    together(2, lambda side: steps(many[side.rank], side, job=job(many[side.rank], side.rank), steps=3))
    assert torch.equal(found[0][0].weight, found[0][1])  # weight decay would have moved it
    assert torch.equal(found[1][0].weight, found[0][1])  # as it was on the first process


def failing(monkeypatch, when):
    """Let a pass fail where `when(loop, batch)` gives a fault."""
    inner = Loop._loss

    def loss(loop, batch, share, total):
        if (fault := when(loop, batch)) is not None:
            raise fault
        return inner(loop, batch, share, total)

    monkeypatch.setattr(Loop, "_loss", loss)


def test_memory_that_runs_out_in_one_halves_the_passes_of_all(setup, every_step, monkeypatch):
    one, many = setup(count=12, dropout=0.0), [setup(count=12, dropout=0.0) for _ in range(2)]
    expected = steps(one, None, batch_size=8)
    short = lambda loop, batch: MemoryError() if loop.group.rank and len(batch.rows) > 2 else None  # noqa: E731
    failing(monkeypatch, short)
    found = together(2, lambda side: steps(many[side.rank], side, batch_size=8))
    assert found[0] == found[1] == pytest.approx(expected, abs=1e-6)
    same_weights(one, many[0])


def test_memory_that_never_suffices_ends_all(setup, monkeypatch):
    many = [setup(count=12, dropout=0.0) for _ in range(2)]
    failing(monkeypatch, lambda loop, batch: MemoryError() if loop.group.rank else None)
    for fault in together(2, lambda side: steps(many[side.rank], side)):
        assert isinstance(fault, UserError)
        assert "with one row at a time" in str(fault)


def test_a_fault_of_one_ends_all(setup, monkeypatch):
    many = [setup(count=12, dropout=0.0) for _ in range(2)]
    failing(monkeypatch, lambda loop, batch: ValueError("broken") if loop.group.rank and loop.step == 2 else None)
    first, second = together(2, lambda side: steps(many[side.rank], side))
    assert isinstance(first, GraftError)
    assert isinstance(second, ValueError)


def test_a_loss_that_is_not_finite_ends_all_alike(setup, monkeypatch):
    many = [setup(count=12, dropout=0.0) for _ in range(2)]
    inner = Loop._loss
    monkeypatch.setattr(
        Loop, "_loss", lambda loop, *rest: inner(loop, *rest) * (float("nan") if loop.group.rank else 1.0)
    )
    for fault in together(2, lambda side: steps(many[side.rank], side)):
        assert isinstance(fault, UserError)
        assert "The loss became nan at step 1" in str(fault)


def test_a_stop_of_one_is_a_stop_of_all_after_the_same_step(setup):
    many, stops = [setup(count=12, dropout=0.0) for _ in range(2)], [Stop(True), Stop(True)]

    def work(side):
        made = many[side.rank]
        running = train(made.job(stop=stops[side.rank], steps=200), made.section(), side)
        with contextlib.closing(running):
            for progress in running:
                if side.rank and progress.step >= 1:
                    stops[1].asked = "SIGTERM"
                if stops[side.rank]():
                    return progress.step, stops[side.rank].asked

    (first, why), (second, _) = together(2, work)
    assert first == second < 200
    assert why == "a signal to another process"


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
def test_resuming_with_another_number_of_processes(setup, every_step, before, after):
    whole = setup(count=13, dropout=0.0)
    expected = steps(whole, None)

    def begin(made, side):
        running = train(made.job(stop=Stop(side is not None)), made.section(), side or made.accelerator)
        for progress in running:
            if progress.step == 3:
                saved = progress.snapshot()
                saved = {"tensors": {n: t.clone() for n, t in saved["tensors"].items()}, "facts": saved["facts"]}
                running.close()
                return saved

    first = [setup(count=13, dropout=0.0) for _ in range(before)]
    saved = begin(first[0], None) if before == 1 else together(before, lambda s: begin(first[s.rank], s))[0]
    second = [setup(count=13, dropout=0.0, seed=7) for _ in range(after)]
    if after == 1:
        found = [steps(second[0], None, resume=saved)]
    else:
        found = together(after, lambda s: steps(second[s.rank], s, resume=s.spread(saved if s.leads else None)))
    for losses in found:
        assert losses == pytest.approx(expected[3:], abs=1e-6)
    same_weights(whole, second[-1])


def test_only_the_first_judges_and_all_stop_early_together(setup):
    many, asked = [setup(count=12, dropout=0.0) for _ in range(2)], []

    def judge(rank):
        def score(model):
            asked.append(rank)
            return Score(0.5, n=3)

        return lambda: {"judge": score}

    found = together(2, lambda s: steps(many[s.rank], s, job=judge(s.rank), steps=200, patience=2, evaluate_every=1))
    assert len(found[0]) == len(found[1]) < 200
    assert asked == [0, 0, 0]


def test_weights_that_drift_apart_are_noticed(setup):
    many = [setup(count=12, dropout=0.0) for _ in range(2)]

    def job(made, rank):
        def drift(update):
            with torch.no_grad():
                next(iter(made.model.module.parameters())).mul_(1.0 + 0.1 * rank)

        return lambda: {"adaptations": [Adaptation(after_update=drift)], "judge": lambda model: Score(0.5)}

    for fault in together(2, lambda s: steps(many[s.rank], s, job=job(many[s.rank], s.rank))):
        assert isinstance(fault, GraftError)
        assert "drifted apart" in str(fault)


def test_values_and_bytes_of_any_length():
    long = {"text": "好" * 9000, "number": 1.5}

    def work(side):
        short = side.share({"a": [1, None]} if side.leads else None)
        whole = side.share(long if side.leads else None)
        data = side.share_bytes(b"xyz" * 5000 if side.leads else None, 15000)
        return short, whole, data, side.spread(None), side.share_bytes(b"", 0)

    for found in together(3, work):
        assert found == ({"a": [1, None]}, long, b"xyz" * 5000, None, b"")


def test_a_shortage_is_a_shortage_of_memory():
    assert issubclass(Shortage, MemoryError)
