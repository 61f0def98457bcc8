"""Several tasks on one backbone: their batches in one loop, their losses weighed by a balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graftlm.contracts.balancer import Balance, Balancer, Plan
from graftlm.contracts.method import Adaptation, Update
from graftlm.contracts.model import Model
from graftlm.contracts.progress import Progress
from graftlm.contracts.task import Task
from graftlm.contracts.values import Batch, Outputs, Space
from graftlm.core import seeds
from graftlm.core.errors import RecipeError
from graftlm.nn import ordering
from graftlm.nn.packed import Packed
from graftlm.nn.perturbation import apart
from graftlm.nn.several import SeveralModel, key, share
from graftlm.stages.training.beginning import added
from graftlm.stages.training.encoding import Encoded
from graftlm.stages.training.loop import Loop

if TYPE_CHECKING:
    from graftlm.recipe import TrainSection
    from graftlm.stages.training.job import Job
    from graftlm.stages.training.processes import Alone


@dataclass(frozen=True, slots=True)
class Part:
    """One of several tasks: its own model (over the shared base), rows and answers, and what its loss weighs."""

    name: str
    task: Task
    space: Space
    model: Model
    data: Encoded
    weight: float = 1.0


def together(models: Mapping[str, Model]) -> Model:
    """Return one model over the given ones, whose base models become one object: the first one's.

    Raises:
        RecipeError: their base models are not of one architecture.
    """
    first = next(iter(models.values()))
    base = first.module.get_submodule(first.base)
    for name, model in models.items():
        try:
            if model is not first:
                share(model.module, model.base, base)
        except ValueError as fault:
            raise RecipeError(f"tasks.{name} cannot share a backbone with the others: {fault}.") from None
    heads = {name: model.module.get_submodule(model.head) for name, model in models.items() if model.head is not None}
    module = SeveralModel({name: model.module for name, model in models.items()}, heads)
    path = f"tasks.{key(next(iter(models)))}.{first.base}".rstrip(".")
    return Model(module, first.tokenizer, first.card, "native", path, "heads" if heads else None, first.auto_model)


def joined(parts: Sequence[Part]) -> Encoded:
    """Return the sequences of all parts end to end, numbered through."""
    numbers, begin = [], 0
    for part in parts:
        own = np.arange(len(part.data.packed)) if part.data.together is None else part.data.together
        numbers.append(own + begin)
        begin += int(own.max(initial=-1)) + 1
    packed = Packed.joined(part.data.packed for part in parts)
    targets = [target for part in parts for target in part.data.targets]
    truncated = sum(part.data.truncated for part in parts)
    return Encoded(packed, targets, truncated, int(packed.offsets[-1]), np.concatenate(numbers))


class SeveralLoop(Loop):
    """The loop over batches of several tasks: rows are numbered through all parts, a micro-batch is of one of them."""

    def __init__(
        self,
        job: Job,
        section: TrainSection,
        group: Alone,
        *,
        parts: Sequence[Part],
        balancer: Balancer,
        scores: Mapping[str, float],
    ) -> None:
        self.parts, self.balancer = {part.name: part for part in parts}, balancer
        self.scores, self.seen = scores, dict[str, list[tuple[float, float]]]()
        self.edges = np.cumsum([0, *(len(part.data.packed) for part in parts)])
        self.names = list(self.parts)
        self.sizes = {part.name: part.data.units for part in parts}
        self.weigher = balancer.start(self.names)
        self.orders: dict[tuple[str, int], list[np.ndarray]] = {}
        self.visits: list[dict[str, int]] = [dict.fromkeys(self.names, 0)]
        self.balance: Balance | None = None
        self.last: list[tuple[str, list[Batch]]] = []
        if self.weigher is not None or balancer.needs_second_look:
            own = Adaptation(state=self.weigher, after_update=self._look_again)
            job = replace(job, adaptations=[*job.adaptations, own])
        super().__init__(job, section, group)
        shared = {id(p) for p in self.module.get_submodule(self.model.base).parameters()}
        self.shared = [p for p in self.trainable if id(p) in shared]

    # -- rows

    def planned(self, step: int) -> Plan:
        """Return what is known ahead of a step."""
        rng = seeds.generator(self.section.seed, "tasks", step)
        done = step / max(1, self.steps)
        return Plan(self.sizes, step, done, step // self.job.plan.steps_per_epoch, rng)

    def rows_of(self, step: int) -> Any:
        """Return the rows of a step, those of one task after those of another: a function of seed and step alone."""
        while len(self.visits) <= step + 1:
            number = len(self.visits) - 1
            names = self.balancer.plan(self.planned(number))
            before = self.visits[-1]
            self.visits.append({name: count + (name in names) for name, count in before.items()})
        before, after = self.visits[step], self.visits[step + 1]
        return np.concatenate([self._rows(n, before[n]) for n in self.names if after[n] > before[n]])

    def _rows(self, name: str, visit: int) -> np.ndarray:
        part, place = self.parts[name], self.names.index(name)
        per_epoch = -(-part.data.units // self.section.batch_size)
        epoch = visit // per_epoch
        if (name, epoch) not in self.orders:
            self.orders = {key: value for key, value in self.orders.items() if key[0] != name}
            rng = seeds.generator(self.section.seed, "order", name, epoch)
            self.orders[name, epoch] = ordering.batches(
                part.data.packed.lengths, self.section.batch_size, rng,
                bucket=self.section.bucket, together=part.data.together,
            )  # fmt: skip
        return self.orders[name, epoch][visit % per_epoch] + self.edges[place]

    def _named(self, rows: Any) -> str:
        return self.names[int(np.searchsorted(self.edges, rows[0], side="right")) - 1]

    def micro_batches(self, rows: Any) -> list[Batch]:
        """Return the micro-batches of a step, each of one task."""
        sets = self.job.data.sets(rows)
        found = []
        for name in self.names:
            mine = [one for one in sets if self._named(one) == name][self.group.rank :: self.group.world]
            size = self.micro or max(1, len(mine))
            found += [self.batch(np.concatenate(mine[i : i + size])) for i in range(0, len(mine), size)]
        return found

    def batch(self, rows: Any) -> Batch:
        """Return the padded tensors and targets of rows of one task."""
        stacked = self.parts[self._named(rows)].task.stack([self.job.data.targets[row] for row in rows])
        if isinstance(stacked, Mapping):
            return Batch(self.inputs(rows), {key: t.to(self.device) for key, t in stacked.items()}, rows)
        return Batch(self.inputs(rows), stacked.to(self.device), rows)

    def part(self, batch: Batch) -> tuple[Task, Space, Model]:
        """Return whose batch it is; the shared model answers as that task's from here on."""
        part = self.parts[self._named(batch.rows)]
        module: Any = self.module
        module.answer_as(part.name)
        return part.task, part.space, part.model

    # -- gradients

    def _gradient(self, batches: Sequence[Batch]) -> float:
        """Add the balanced gradient of the tasks of a step to what the parameters hold; return the weighed mean loss.

        A pass apart from the steps, over rows of some tasks alone, is nothing to balance or to learn from.
        """
        find = self._plain if apart() else self._balanced
        return added(find, self.trainable)(batches)

    def _plain(self, batches: Sequence[Batch]) -> float:
        names = [self._named(batch.rows) for batch in batches]
        of = {name: [b for b, own in zip(batches, names, strict=True) if own == name] for name in self.names}
        return sum(self._backward(some, self.parts[name].weight) for name, some in of.items() if some)

    def _balanced(self, batches: Sequence[Batch]) -> float:
        by_name = {name: [b for b in batches if self._named(b.rows) == name] for name in self.names}
        self.last = [(name, of) for name, of in by_name.items() if of]
        names, plan = [name for name, _ in self.last], self.planned(self.step)
        given = self.balancer.weights(names, plan, self.weigher)
        self.passes += 1
        losses: dict[str, float] = {}
        kept: list[list[Tensor | None]] = []
        for name, of in self.last:
            weight = 1.0 if self.balancer.needs_gradients else given[name] * self.parts[name].weight
            if self.balancer.needs_gradients:
                kept.append(self._put_aside(losses, name, of))
            else:
                losses[name] = self._backward(of, weight)
        balance = Balance(losses, plan, self.weigher, given, *([lambda: _gram(kept)] if kept else []))
        weights = given
        if kept:
            weights = self.balancer.weights_after(balance)
            self._combine(kept, [weights[name] * self.parts[name].weight for name in names])
        else:
            self.balancer.learn(balance)
        mean = sum(weights[name] * self.parts[name].weight * loss for name, loss in losses.items())
        if self.balance is not None and self.balance.plan.step == self.step:
            return mean
        self.balance = balance  # of the first pass: later ones look at perturbed words or weights
        for name, loss in losses.items():
            self.seen.setdefault(name, []).append((loss, weights[name] * self.parts[name].weight))
        return mean

    def progress(self, loss: float, **facts: Any) -> Progress:
        """Return the state after the last step, with each task's loss, weight and score since the last one told."""
        extra = {}
        for name, seen in self.seen.items():
            extra[f"loss/{name}"], extra[f"weight/{name}"] = (float(value) for value in np.mean(seen, axis=0))
        if facts.get("score") is not None:
            extra |= {f"score/{name}": value for name, value in self.scores.items()}
        self.seen = {}
        return super().progress(loss, extra=extra, **facts)

    def _backward(self, batches: Sequence[Batch], weight: float) -> float:
        """Add a task's gradient, times its weight, to what is in the parameters; return its mean loss."""
        counts = [self.part(batch)[0].count(batch.targets) for batch in batches]
        total, mean = float(sum(counts)), 0.0
        for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
            self.levers.tape.begin(self.step, self.names.index(self._named(batch.rows)) * 4096 + number)
            loss = self._loss(batch, count / total, total)
            (weight * loss).backward()
            mean += float(loss.detach())
        return mean

    def _put_aside(self, losses: dict[str, float], name: str, batches: Sequence[Batch]) -> list[Tensor | None]:
        """Return a task's gradient on the shared parameters, which are left without one; heads keep theirs."""
        losses[name] = self._backward(batches, 1.0)
        found = [p.grad for p in self.shared]
        for parameter in self.shared:
            parameter.grad = None
        return found

    def _combine(self, kept: Sequence[Sequence[Tensor | None]], weights: Sequence[float]) -> None:
        for parameter, gradients in zip(self.shared, zip(*kept, strict=True), strict=True):
            there = [(g, w) for g, w in zip(gradients, weights, strict=True) if g is not None]
            if there:
                first, weight = there[0]
                total = first.mul_(weight)
                for gradient, factor in there[1:]:
                    total.add_(gradient, alpha=factor)
                parameter.grad = total

    def _look_again(self, update: Update) -> None:
        """Let the balancer see the losses of the same batches after the update."""
        if not self.balancer.needs_second_look or self.balance is None:
            return
        after = {}
        with torch.no_grad():
            for name, batches in self.last:
                total = float(sum(self.part(batch)[0].count(batch.targets) for batch in batches))
                after[name] = 0.0
                for number, batch in enumerate(batches):
                    task, _, _ = self.part(batch)
                    self.levers.tape.begin(update.step, self.names.index(name) * 4096 + number)
                    outputs = Outputs(self.call(batch.inputs).logits.float())
                    after[name] += float(task.loss(outputs, batch.targets)) / total
        self.balancer.look_again(self.balance, after)


def _gram(kept: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """Return the inner products (K, K) of gradients, in float64."""
    count = len(kept)
    found = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        for j in range(i, count):
            pairs = zip(kept[i], kept[j], strict=True)
            total = sum(float((a.float() * b.float()).sum()) for a, b in pairs if a is not None and b is not None)
            found[i, j] = found[j, i] = total
    return found
