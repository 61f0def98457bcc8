"""Training: the one gradient loop, a generator that yields Progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graftlm.contracts.loss import Look
from graftlm.contracts.method import Inner, Update
from graftlm.contracts.model import Model
from graftlm.contracts.progress import Progress
from graftlm.contracts.task import Task
from graftlm.contracts.values import Batch, Score, Space
from graftlm.core import log, seeds
from graftlm.core.errors import UserError
from graftlm.nn import ordering
from graftlm.nn import precision as formats
from graftlm.nn.prefix import FrozenPrefix
from graftlm.nn.schedules import multiplier
from graftlm.recipe import TrainSection
from graftlm.stages.training import sparing
from graftlm.stages.training.beginning import Passes, added, begin, end, settled, why_not_stored
from graftlm.stages.training.groups import multipliers, parameter_groups
from graftlm.stages.training.held import Held
from graftlm.stages.training.job import Job
from graftlm.stages.training.levers import Levers, pull
from graftlm.stages.training.processes import Alone
from graftlm.stages.training.snapshots import restore_snapshot, seed_generators, take_snapshot

REPORT_SECONDS = 0.5
"""Seconds between two Progress values without an evaluation."""


class Loop(Held):
    """The state of one run of the loop."""

    def __init__(self, job: Job, section: TrainSection, group: Alone) -> None:
        self.job, self.section, self.group = job, section, group
        self.model, self.module = job.model, job.model.module
        self.device = group.device
        self.dtype, why = formats.choose(section.precision, self.device)
        log.note(f"precision: {why}")
        self.lengths = job.data.packed.lengths
        self.pad = job.model.tokenizer.pad_token_id
        self.step, self.steps = 0, job.plan.steps
        self.micro = section.micro_batch_size  # halved where memory runs out
        self.best_score: float | None = None
        self.stale = 0
        self.spent = 0.0  # seconds before this process began
        self.began = time.monotonic()
        self.agreed: float | None = None  # the seconds of the first of several processes
        self.stepping = 0.0
        self.passes = 0  # gradients taken in this step
        self.examples = self.tokens = self.padded = 0
        self.frozen = [a.frozen for a in job.adaptations if a.frozen is not None]
        self.prefix: FrozenPrefix | None = None
        self.levers = Levers(job.model, seeds.child(section.seed, "dropout"))
        self.place()
        self.terms = [(loss, f"loss_{number}") for number, loss in enumerate(job.losses)]
        for place, adaptation in enumerate(job.adaptations):
            self.terms += [(term, f"term_{place}_{number}") for number, term in enumerate(adaptation.terms)]
        self.needs = {need for loss, _ in self.terms for need in loss.needs}
        # dropout and run objects draw from the global generators
        seed_generators(section.seed, "loop", 0)
        try:
            pull(self)
            self._prepare()
        except BaseException:
            self.levers.release()
            raise

    def _prepare(self) -> None:
        job, section = self.job, self.section
        self.states = begin(self)
        groups = parameter_groups(self.model, job.adaptations, self.states, section.optimizer, job.plan.rate)
        self.optimizer = section.optimizer.build(groups, job.plan.rate)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.trainable = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.gradient: Inner = self._gradient
        for adaptation in reversed(job.adaptations):
            if adaptation.wrap is not None:
                self.gradient = added(adaptation.wrap(self.gradient), self.trainable)

    def prepare_prefix(self) -> None:
        """Compute the outputs of a frozen prefix once, where that is exact."""
        depth = max(self.frozen, default=0)
        if not depth:
            return
        reason = why_not_stored(self)
        if reason is not None:
            log.note(f"frozen prefix: not cached, {reason}")
            return
        prefix = FrozenPrefix(self.module, self.model.blocks, depth)
        order = self.lengths.argsort(kind="stable")
        size = max(self.section.batch_size, 32)
        self.module.eval()
        with torch.no_grad():
            prefix.compute(
                self.job.data.packed.offsets,
                self.model.card.width,
                ((rows, self.inputs(rows)) for rows in (order[i : i + size] for i in range(0, len(order), size))),
                self.call,
            )
        prefix.swap_in()
        self.prefix = prefix
        log.note(f"frozen prefix: the outputs of {depth} blocks are computed once and replayed")

    def inputs(self, rows: Any) -> dict[str, Tensor]:
        """Return the padded tensors of rows."""
        batch = self.job.data.packed.batch(rows, self.pad, self.model.tokenizer.padding_side)
        return {name: tensor.to(self.device) for name, tensor in batch.items()}

    def call(self, inputs: Mapping[str, Tensor], **asked: bool) -> Any:
        """Run the model in the run's number format."""
        with self.arithmetic():
            return self.module(**inputs, **asked)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Return the context of one forward pass: a fresh one each time.

        A shared one caches casts of weights, and weights perturbed between two passes would not be seen.
        """
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def modes(self) -> None:
        """Set training mode, and eval mode for what never changes."""
        self.module.train()
        if self.frozen:
            for path in [*self.model.before, *self.model.blocks[: max(self.frozen)]]:
                self.module.get_submodule(path).eval()

    def rows_of(self, step: int) -> Any:
        """Return the rows of the global batch of a step: a function of seed and step alone."""
        per_epoch = self.job.plan.steps_per_epoch
        epoch = step // per_epoch
        if getattr(self, "_epoch", None) != epoch:
            rng = seeds.generator(self.section.seed, "order", epoch)
            self._order = ordering.batches(
                self.lengths, self.section.batch_size, rng, bucket=self.section.bucket, together=self.job.data.together
            )
            self._epoch = epoch
        return self._order[step % per_epoch]

    def micro_batches(self, rows: Any) -> list[Batch]:
        """Return this process's share of a global batch, cut into micro-batches."""
        sets = self.job.data.sets(rows)[self.group.rank :: self.group.world]
        size = self.micro or max(1, len(sets))
        cut: list[Any] = [np.concatenate(sets[i : i + size]) for i in range(0, len(sets), size)]
        return [self.batch(part) for part in cut]

    def batch(self, rows: Any) -> Batch:
        """Return the padded tensors and targets of rows."""
        stacked = self.job.task.stack([self.job.data.targets[row] for row in rows])
        if isinstance(stacked, Mapping):
            return Batch(self.inputs(rows), {name: t.to(self.device) for name, t in stacked.items()}, rows)
        return Batch(self.inputs(rows), stacked.to(self.device), rows)

    def _gradient(self, batches: Sequence[Batch]) -> float:
        """Leave the gradient of one effective batch in the parameters; return the mean loss."""
        counts = [self.job.task.count(batch.targets) for batch in batches]
        total = self.group.total(sum(counts))
        mean = 0.0
        self.group.begin(self.trainable)
        self.passes += 1
        try:
            with self.group.own_numbers(self.section.seed, "loop", self.step, self.passes):
                for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
                    self.levers.tape.begin(self.step, self.group.rank * 4096 + number)
                    loss = self._loss(batch, count / total, total)
                    loss.backward()
                    mean += float(loss.detach())
        except Exception as fault:
            self.group.failed(fault)
            raise
        return self.group.add_up(self.trainable, mean)

    def part(self, batch: Batch) -> tuple[Task, Space, Model]:
        """Return the task, the answers and the model of a batch."""
        return self.job.task, self.job.space, self.model

    def _loss(self, batch: Batch, share: float, total: float) -> Tensor:
        task, space, model = self.part(batch)
        if self.prefix is not None:
            self.prefix.load(batch.rows, batch.inputs["attention_mask"], self.device)
        asked = {f"output_{need}": True for need in ("hidden_states", "attentions") if need in self.needs}

        passes = Passes(self, batch, asked)
        outputs = passes.again()
        parts = []
        if not any(loss.replaces_task_loss for loss, _ in self.terms):
            parts.append(task.loss(outputs, batch.targets) / total)
        for loss, key in self.terms:
            state = self.states[key] if key in self.states else None
            look = Look(
                batch, outputs, model, task, space, self.step, passes.again, state, passes.repeat, passes.run
            )  # fmt: skip
            parts.append(loss.strength * share * loss(look))
        return torch.stack([part.float() for part in parts]).sum()

    def update(self) -> float:
        """Make one step; return the mean loss of its batch."""
        rows = self.rows_of(self.step)
        self.passes = 0
        if self.group.world > 1:  # a function of the step: no process has a state of its own to keep
            seed_generators(self.section.seed, "loop", self.step)
            self.group.remember([self.module, self.states])
        done = self.done()
        groups, share = self.optimizer.param_groups, multiplier(self.section.schedule, done, self.section.warmup)
        changing = multipliers(self.job.adaptations, groups, self.step)
        for group, rate, factor in zip(groups, self.rates, changing, strict=True):
            group["lr"] = rate * share * factor
        loss = sparing.gradient(self, rows)
        self.group.same_buffers()
        if self.section.clip:
            # as clip_grad_norm_, but gradients within the limit are not multiplied by one
            norm = self.norm()
            if norm > self.section.clip:
                torch.nn.utils.clip_grads_with_norm_(self.trainable, self.section.clip, norm)
        self.optimizer.step()
        update = Update(self.step, self._rate)
        for loss_of, key in self.terms:
            loss_of.after_update(self.model, self.states[key] if key in self.states else None, update)
        for adaptation in self.job.adaptations:
            if adaptation.after_update is not None:
                adaptation.after_update(update)
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.examples += len(rows)
        self.tokens += int(self.lengths[rows].sum())
        self.padded += int(self.lengths[rows].max()) * len(rows)
        return loss

    def _rate(self, name: str) -> float:
        """Return the learning rate of a parameter by name in the step that is being made."""
        for group in self.optimizer.param_groups:
            if name in group["names"]:
                return float(group["lr"])
        return 0.0

    def done(self) -> float:
        """Return the share of the run that is done, by steps or by the time budget, whichever is further."""
        by_steps = (self.step + 1) / (self.steps + 1)
        if self.section.budget is None:
            return by_steps
        return max(by_steps, min(1.0, self.elapsed() / self.section.budget))

    def elapsed(self) -> float:
        """Return the seconds this run has trained, over all its processes' lives."""
        return self.spent + time.monotonic() - self.began if self.agreed is None else self.agreed

    def pulse(self, speak: bool = False) -> bool:
        """Let the processes agree on the time and on a stop; return whether the first one wants to speak."""
        if self.group.world == 1:
            return speak
        now = self.spent + time.monotonic() - self.began
        self.agreed, stop, speak = self.group.pulse(now, self.job.stop.heard(), speak)
        self.job.stop.agree(stop)
        return speak

    def over(self) -> bool:
        """Tell whether the last step is done."""
        out_of_time = self.section.budget is not None and self.elapsed() >= self.section.budget
        return self.step >= self.steps or (out_of_time and self.step > 0)

    def judge(self) -> Score | None:
        """Score the validation rows with the model as it would be saved."""
        if self.job.judge is None:
            return None
        self.group.compare(self.trainable)
        if not self.group.leads:
            return Score(**self.group.share(None))
        if self.prefix is not None:
            self.prefix.swap_out()
        try:
            with settled(self.job.adaptations):
                score = self.job.judge(self.model)
            self.group.share(score.as_json())
            return score
        finally:
            if self.prefix is not None:
                self.prefix.swap_in()
            self.modes()

    def better(self, score: Score) -> bool:
        """Tell whether a score is the best so far, and remember it."""
        value = score.value if score.higher_is_better else -score.value
        if self.best_score is None or value > self.best_score:
            self.best_score, self.stale = value, 0
            return True
        self.stale += 1
        return False

    def progress(self, loss: float, **facts: Any) -> Progress:
        """Return the state after the last step."""
        seconds = max(self.stepping, 1e-9)
        left = (self.steps - self.step) * self.elapsed() / max(self.step, 1)
        if self.section.budget is not None:
            left = min(left, max(0.0, self.section.budget - self.elapsed()))
        return Progress(
            step=self.step,
            steps=self.steps,
            epoch=self.step / self.job.plan.steps_per_epoch,
            loss=loss,
            rate=self.optimizer.param_groups[0]["lr"],
            examples_per_second=self.examples / seconds,
            tokens_per_second=self.tokens / seconds,
            padding_share=1 - self.tokens / self.padded if self.padded else 0.0,
            seconds_left=left,
            snapshot=lambda: take_snapshot(self),
            **facts,
        )

    def close(self) -> None:
        """Put the swapped parts back."""
        if self.prefix is not None:
            self.prefix.swap_out()
            self.prefix = None
        self.levers.release()
        self.module.eval()


def train(
    job: Job,
    section: TrainSection,
    group: Alone,
    resume: Mapping[str, Any] | None = None,
    make: Callable[[Job, TrainSection, Alone], Loop] = Loop,
) -> Iterator[Progress]:
    """Train, yielding Progress now and then, after each evaluation and at the end; `make` gives the loop.

    At the end the best weights (by the task's own metric on the validation rows) are in the model, and
    methods have finished. A caller that stops early closes the generator: the model is then whole again,
    with the weights of the last step.

    Raises:
        UserError: the loss is not finite; the message says what to change.
    """
    loop = make(job, section, group)
    try:
        if resume is not None:
            restore_snapshot(loop, resume)
        group.same_tensors(loop.common())
        loop.prepare_prefix()
        loop.modes()
        every = max(1, round(section.evaluate_every * job.plan.steps_per_epoch))
        losses: list[float] = []
        spoken = time.monotonic()
        stop = section.patience is not None and loop.stale >= section.patience  # a run stopped early, resumed
        loop.pulse()
        last = loop.over() or stop
        while not last:
            started = time.monotonic()
            losses.append(loop.update())
            loop.stepping += time.monotonic() - started
            if losses[-1] != losses[-1] or losses[-1] in (float("inf"), float("-inf")):
                raise UserError(
                    f"The loss became {losses[-1]} at step {loop.step} (peak learning rate {job.plan.rate:g}). Lower "
                    "it (--set train.optimizer.rate=...), or use --set train.precision=fp32."
                )
            speak = loop.pulse(time.monotonic() - spoken > REPORT_SECONDS)
            # asked once: the time may run out between two questions, and the last step must be judged and told
            last = loop.over()
            score = loop.judge() if loop.step % every == 0 or last else None
            best = score is not None and loop.better(score)
            stop = score is not None and section.patience is not None and loop.stale >= section.patience
            last = last or stop or (score is not None and loop.over())
            if score is not None or last or job.stop() or speak:
                said = f"no improvement in {loop.stale} evaluations: stopped early" if stop else ""
                mean = sum(losses) / len(losses)
                yield loop.progress(mean, score=score, best=best, last=last, note=said)
                losses, spoken = [], time.monotonic()
        loop.unite()
        tensors = job.best()
        if tensors is not None:
            restore_snapshot(loop, {"tensors": tensors}, weights_only=True)
        end(job)
    finally:
        loop.close()
    for adaptation in reversed(job.adaptations):
        if adaptation.finish is not None:
            adaptation.finish()
