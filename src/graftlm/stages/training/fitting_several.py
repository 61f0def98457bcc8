"""Fitting several tasks on one backbone: one model over all, one loop, one checkpoint."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from graftlm.contracts.augmentation import Augmentation
from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.balancer import Balancer
from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Linear, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.contracts.progress import Progress
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Score, Space
from graftlm.core import log
from graftlm.core.errors import RecipeError, UserError
from graftlm.nn import precision as formats
from graftlm.recipe import TrainSection
from graftlm.stages.training.assembling import assemble
from graftlm.stages.training.encoding import encode
from graftlm.stages.training.fitting import ORDER, Trained, carry, count_trained, expanded
from graftlm.stages.training.job import Job
from graftlm.stages.training.planning import Plan, plan
from graftlm.stages.training.processes import Alone
from graftlm.stages.training.several import Part, SeveralLoop, joined, together
from graftlm.stages.training.snapshots import seed_generators


@dataclass(frozen=True, slots=True)
class Asked:
    """One of several tasks as the recipe asks for it: what is asked, of which rows, and what it weighs."""

    task: Task
    space: Space
    rows: Rows
    limit: int
    weight: float = 1.0
    probe: Callable[[], Linear | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Shared:
    """What the tasks share."""

    section: TrainSection
    backbone: Backbone
    methods: Sequence[Method]
    losses: Sequence[Loss]
    balancer: Balancer
    augmentations: Sequence[Augmentation] = ()


def fit_several(
    shared: Shared,
    base: Base,
    tasks: Mapping[str, Asked],
    *,
    judge: Callable[[Mapping[str, Model]], Mapping[str, float]] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    fingerprint: str = "",
    watch: Callable[[Progress], None] = lambda progress: None,
    steps: int | None = None,
) -> tuple[Trained, dict[str, Model]]:
    """Train one backbone for several tasks; return how it went, and the model of each task.

    `judge(models)` scores the validation rows of each task, more being better; their mean decides. `steps` ends the run
    early (trial runs).

    Raises:
        RecipeError: methods, losses or the balancer refuse to work here, all reasons together.
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    section, group = shared.section, Alone(formats.device_for(shared.section.device))
    parts = []
    model, models = _assembled(shared, base, tasks)
    tasks = {name: _expanded(shared, base, name, asked, group) for name, asked in tasks.items()}
    for name, asked in tasks.items():
        data = encode(asked.rows, asked.task, base.tokenizer, asked.space, asked.limit)
        parts.append(Part(name, asked.task, asked.space, models[name], data, asked.weight))
    chosen = _planned(shared, parts, base.card.width, steps)
    first = parts[0]
    setting = _setting(shared, tasks, chosen.steps)
    _refuse(shared, model, setting, tasks, models)
    start = None
    if any(method.wants_start for method in shared.methods):
        start = copy.deepcopy(model.module).requires_grad_(False).eval()
    seed_generators(section.seed, "methods")
    if all(getattr(method, "head", None) != "random" for method in shared.methods):
        for part in parts:  # the methods see one model, whose heads have no common solution
            start_head(part.model, replace(setting, task=part.task, probe=tasks[part.name].probe))
    whole = sum(parameter.numel() for parameter in model.module.parameters())
    adaptations = [method.apply(model, setting) for method in sorted(shared.methods, key=lambda m: ORDER[m.layout])]
    solved = [method.name() for method, one in zip(shared.methods, adaptations, strict=True) if one.solved]
    if solved:
        raise RecipeError(f"method '{solved[0]}' solves the head of one task at once; with several tasks, train.")
    parameters = {"trained": count_trained(model), "of": whole}
    scores: dict[str, float] = {}

    def mean(_: Model) -> Score:
        scores.update({} if judge is None else judge(models))
        return Score(sum(scores.values()) / len(scores))

    job = Job(
        model, first.task, first.space, joined(parts), chosen, adaptations, shared.losses,
        augmented=bool(shared.augmentations),
        other_text=any(m.other_text for m in shared.methods) or any(one.other_text for one in shared.losses),
        judge=None if judge is None else mean, start=start,
    )  # fmt: skip
    trained = carry(
        job, section, group=group, folder=folder, resume=resume,
        fingerprint=fingerprint, watch=watch,
        make=partial(SeveralLoop, parts=parts, balancer=shared.balancer, scores=scores),
    )  # fmt: skip
    trained.facts["parameters"] = parameters
    return trained, models


def refuse(shared: Shared, base: Base, tasks: Mapping[str, Asked]) -> None:
    """Raise one RecipeError with every reason why something cannot be used for several tasks at once."""
    model, models = _assembled(shared, base, tasks)
    _refuse(shared, model, _setting(shared, tasks, sys.maxsize), tasks, models)


def _assembled(shared: Shared, base: Base, tasks: Mapping[str, Asked]) -> tuple[Model, dict[str, Model]]:
    """Return the model over all tasks, and that of each."""
    models = {
        name: assemble(base, shared.backbone, asked.task, asked.space, seed=shared.section.seed)
        for name, asked in tasks.items()
    }
    return together(models), models


def _expanded(shared: Shared, base: Base, name: str, asked: Asked, group: Alone) -> Asked:
    """Return a task with its rows augmented."""
    if not shared.augmentations:
        return asked
    log.note(f"task {name}:")
    seed = shared.section.seed
    return replace(asked, rows=expanded(asked.rows, asked.task, shared.augmentations, base, seed=seed, group=group))


def _setting(shared: Shared, tasks: Mapping[str, Asked], steps: int) -> Setting:
    """Return what methods may look at: the task is the first one, and no probe is common to all."""
    first = next(iter(tasks.values()))
    return Setting(
        task=first.task,
        space=first.space,
        optimizer=shared.section.optimizer,
        rows=sum(len(asked.rows) for asked in tasks.values()),
        steps=steps,
        seed=shared.section.seed,
        augmented=bool(shared.augmentations),
        methods=tuple(method.name() for method in shared.methods),
        losses=tuple(loss.name() for loss in shared.losses),
        device=str(formats.device_for(shared.section.device)),
    )


def _planned(shared: Shared, parts: Sequence[Part], width: int, steps: int | None) -> Plan:
    """Return the plan: an epoch is over when each row was seen once, by the task with the most rows where all enter."""
    section = shared.section
    per_part = [math.ceil(part.data.units / section.batch_size) for part in parts]
    draws = type(shared.balancer).plan is not Balancer.plan
    per_epoch = sum(per_part) if draws else max(per_part)
    chosen = plan(section, section.optimizer, sequences=per_epoch * section.batch_size, width=width)
    return chosen if steps is None else replace(chosen, steps=min(steps, chosen.steps), reasons=())


def _refuse(
    shared: Shared, model: Model, setting: Setting, tasks: Mapping[str, Asked], models: Mapping[str, Model]
) -> None:
    reasons = []
    if (reason := shared.balancer.refuses(list(tasks))) is not None:
        reasons.append(f"balancer '{shared.balancer.name()}': {reason}")
    for method in shared.methods:
        if (reason := method.refuses(model, setting)) is not None:
            reasons.append(f"method '{method.name()}': {reason}")
    for loss in shared.losses:
        if type(loss).start is not Loss.start or type(loss).prepare is not Loss.prepare or loss.wants_start:
            reasons.append(f"loss '{loss.name()}': it keeps a state of one task, and there are several")
            continue
        for name, asked in tasks.items():
            if (reason := loss.refuses(models[name], asked.task)) is not None:
                reasons.append(f"loss '{loss.name()}' for the task '{name}': {reason}")
    if reasons:
        raise RecipeError("These cannot work together:\n" + "\n".join(f"  {reason}." for reason in reasons))


def trial(
    shared: Shared,
    base: Base,
    tasks: Mapping[str, Asked],
    weights: Mapping[str, float],
    rungs: Sequence[int],
    judge: Callable[[Mapping[str, Model]], Mapping[str, float]],
) -> Iterator[float]:
    """Train with fixed weights for as many steps as the last rung has; yield the score after each rung.

    The recipe's own weights multiply them, as they do in the run that comes after.
    """
    weighed = {name: replace(asked, weight=asked.weight * weights[name]) for name, asked in tasks.items()}
    for steps in rungs:
        # each rung is a run of its own, whose schedule ends there: scores in mid-schedule say little
        seen: list[float] = []

        def keep(models: Mapping[str, Model], seen: list[float] = seen) -> Mapping[str, float]:
            scores = judge(models)
            seen.append(sum(scores.values()) / len(scores))
            return scores

        section = shared.section.model_copy(update={"budget": None, "evaluate_every": 1e6, "trackers": []})
        fit_several(replace(shared, section=section), base, weighed, judge=keep, steps=steps)
        if not seen:
            raise UserError("balancer 'cross_validated': a trial run ended without a score.")
        yield seen[-1]
