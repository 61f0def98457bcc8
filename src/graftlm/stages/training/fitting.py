"""Fitting: methods are applied, the loop runs, checkpoints are kept, the best weights come back."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graftlm.contracts.augmentation import Augmentation, Scene
from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.ground import Earlier, no_run
from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Linear, Method, Setting
from graftlm.contracts.model import Model
from graftlm.contracts.progress import Progress
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Score, Space
from graftlm.core import log
from graftlm.core.errors import BundleError, Interrupted, RecipeError, UserError
from graftlm.nn import precision as formats
from graftlm.recipe import TrainSection
from graftlm.stages.training.assembling import assemble
from graftlm.stages.training.checkpoints import Checkpoints
from graftlm.stages.training.encoding import CACHED_FROM, Encoded, encode
from graftlm.stages.training.job import Job
from graftlm.stages.training.loop import Loop, train
from graftlm.stages.training.planning import plan
from graftlm.stages.training.processes import Alone
from graftlm.stages.training.sharded import Sharded
from graftlm.stages.training.snapshots import seed_generators
from graftlm.stages.training.stopping import listening

ORDER = {"keeps": 0, "same": 1, "merges": 2}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parts of a recipe that training needs."""

    section: TrainSection
    backbone: Backbone
    task: Task
    methods: Sequence[Method]
    losses: Sequence[Loss]
    augmentations: Sequence[Augmentation]


@dataclass(slots=True)
class Trained:
    """A trained model: how it went, at how many epochs the best weights were found, what is left for later runs."""

    model: Model
    epochs: float
    steps: int
    solved: bool
    history: list[dict[str, Any]] = field(default_factory=list)
    timing: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict, repr=False)


def fit(
    wanted: Wanted,
    base: Base,
    space: Space,
    rows: Rows,
    *,
    limit: int,
    probe: Callable[[], Linear | None],
    judge: Callable[[Model], Score] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    fingerprint: str = "",
    epochs: float | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    earlier: Callable[[str], Earlier] = no_run,
    group: Alone | None = None,
) -> Trained:
    """Train a model of the wanted kind on rows; the best weights by `judge` are in it at the end.

    With a folder, checkpoints are kept in `folder/checkpoints`. `earlier(run)` opens the run that a method or a loss
    names. With a `group`, other processes call this with the same arguments, but for probe, judge, folder and resume,
    which are the first one's.

    Raises:
        RecipeError: methods or losses refuse to work here, all reasons together.
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    section, task = wanted.section, wanted.task
    if epochs is not None:
        section = section.model_copy(update={"epochs": epochs, "budget": None})
    group = group or Alone(formats.device_for(section.device))
    model = assemble(base, wanted.backbone, task, space, seed=section.seed)
    rows = expanded(rows, task, wanted.augmentations, base, seed=section.seed, group=group)
    data = _encoded(rows, wanted, model, space, limit, group)
    chosen = plan(section, section.optimizer, sequences=data.units, width=base.card.width)
    known = setting_of(wanted, space, rows, limit, chosen.steps)
    setting = replace(known, device=str(group.device), probe=lambda: _shared(group, probe))
    refuse(model, wanted, setting)
    start = None
    if any(m.wants_start for m in wanted.methods) or any(loss.wants_start for loss in wanted.losses):
        start = copy.deepcopy(model.module).requires_grad_(False).eval()
    seed_generators(section.seed, "methods")
    ordered = sorted(wanted.methods, key=lambda method: ORDER[method.layout])
    whole = sum(parameter.numel() for parameter in model.module.parameters())
    adaptations = [method.apply(model, setting) for method in ordered]
    parameters = {"trained": count_trained(model), "of": whole}
    if any(adaptation.solved for adaptation in adaptations):
        log.note("no gradient step: the head is solved at once")
        for adaptation in reversed(adaptations):
            if adaptation.finish is not None:
                adaptation.finish()
        model.module.eval()
        return Trained(model, 0.0, 0, True, facts={"truncated": data.truncated, "parameters": parameters})
    job = Job(
        model, task, space, data, chosen, adaptations, wanted.losses,
        augmented=bool(wanted.augmentations),
        other_text=any(m.other_text for m in wanted.methods) or any(one.other_text for one in wanted.losses),
        judge=judge,
        start=start,
        base=base,
        earlier=earlier,
    )  # fmt: skip
    make = Loop if section.sharding == "none" else Sharded
    trained = carry(
        job, section, group=group, folder=folder, resume=resume, fingerprint=fingerprint, watch=watch, make=make
    )
    trained.facts["parameters"] = parameters
    return trained


def carry(
    job: Job,
    section: TrainSection,
    *,
    group: Alone,
    folder: Path | None,
    resume: bool,
    fingerprint: str,
    watch: Callable[[Progress], None],
    make: Callable[[Job, TrainSection, Alone], Loop] = Loop,
) -> Trained:
    """Train what a job says, from its newest checkpoint where there is one; keep checkpoints, tell the trackers.

    Raises:
        Interrupted: a stop was asked for; a checkpoint is written.
    """
    for reason in job.plan.reasons:
        log.note(reason)
    store = Checkpoints(folder / "checkpoints", section.keep) if folder else None
    newest = None
    if store is not None and resume:
        newest = store.newest()
    elif store is not None:
        store.clear()
    trained = Trained(job.model, job.plan.epochs, job.plan.steps, False, facts={"truncated": job.data.truncated})

    def best() -> Any:
        step = store.best_step() if store else None
        if store is None or step is None:
            return None
        try:
            return store.load(step)["tensors"]
        except BundleError as fault:
            log.warn(f"{fault} The weights of the last step are kept instead of those of step {step}, the best.")
            return None

    with listening(group.world > 1) as stop:
        job = replace(job, best=best, stop=stop, left=trained.left)
        saved = time.monotonic()
        snapshot = store.load(newest) if store and newest is not None else None
        if snapshot is not None:
            if snapshot["facts"].get("fingerprint") != fingerprint:
                raise UserError(
                    f"The checkpoint at step {newest} in '{folder}' was made with another recipe or other data; it "
                    "cannot be resumed. Put the data back as they were, or start a new run with --out."
                )
            log.note(f"resumed at step {newest}")
            _recall(trained, snapshot["facts"])
        for progress in train(job, section, group, group.spread(snapshot), make):
            _note(trained, progress)
            stopping = stop()  # asked once: a signal that comes while saving is for the next step, after a checkpoint
            due = progress.score is not None or stopping or time.monotonic() - saved > section.save_every
            keep = store is not None and due and not (progress.last and progress.score is None)
            if section.sharding != "none":
                keep = group.share(keep)  # every process gives its shards
            began = time.monotonic()
            state = progress.snapshot() if keep and progress.snapshot else {}
            if keep and store is not None:
                state = {**state, "facts": {**state["facts"], "history": trained.history, "timing": trained.timing}}
                store.save(progress.step, state, fingerprint=fingerprint, best=progress.best)
                saved = time.monotonic()
                trained.timing["saving"] = trained.timing.get("saving", 0.0) + saved - began
            if progress.best:
                trained.epochs = progress.epoch
            watch(progress)
            if stopping and not progress.last:
                raise Interrupted(f"Stopped by {stop.asked} at step {progress.step} of {progress.steps}.")
    return trained


def setting_of(wanted: Wanted, space: Space, rows: Rows, limit: int | None, steps: int) -> Setting:
    """Return what methods may look at, without a probe."""
    return Setting(
        task=wanted.task,
        space=space,
        optimizer=wanted.section.optimizer,
        rows=len(rows),
        steps=steps,
        seed=wanted.section.seed,
        augmented=bool(wanted.augmentations),
        methods=tuple(method.name() for method in wanted.methods),
        losses=tuple(loss.name() for loss in wanted.losses),
        limit=limit,
        device=str(formats.device_for(wanted.section.device)),
    )


def refuse(model: Model, wanted: Wanted, setting: Setting) -> None:
    """Raise one RecipeError with every reason why a method or loss cannot be used here."""
    reasons = [
        f"method '{method.name()}': {reason}"
        for method in wanted.methods
        if (reason := method.refuses(model, setting)) is not None
    ]
    reasons += [
        f"loss '{loss.name()}': {reason}"
        for loss in wanted.losses
        if (reason := loss.refuses(model, wanted.task) or loss.clashes(wanted.methods)) is not None
    ]
    if not wanted.methods:
        reasons.append("methods is empty: name at least one, such as `full`")
    if len({type(method) for method in wanted.methods}) < len(wanted.methods):
        reasons.append("a method stands twice in methods")
    if reasons:
        raise RecipeError("These cannot work together:\n" + "\n".join(f"  {reason}." for reason in reasons))


def count_trained(model: Model) -> int:
    """Return how many of a model's parameters a run finds: those that train, or those of a head that is solved."""
    module = model.module
    found = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not found and model.head is not None:
        found = list(module.get_submodule(model.head).parameters())
    return sum(parameter.numel() for parameter in found)


def expanded(
    rows: Rows, task: Task, augmentations: Sequence[Augmentation], base: Base, *, seed: int, group: Alone
) -> Rows:
    """Augment the rows; where that costs, the first of several processes fills the cache ahead of the others."""
    if not augmentations:
        return rows
    from graftlm.stages.training.expanding import expand

    costly = any(augmentation.costly for augmentation in augmentations)
    if costly and not group.leads:
        group.share(None)
    scene = Scene(base, str(group.device), task.marked)
    found = expand(rows, augmentations, seed, whole=task.whole, scene=scene)
    if costly and group.leads:
        group.share(True)
    log.note(f"augmentations: {len(found):,} training rows made of {len(rows):,}")
    return found


def _encoded(rows: Rows, wanted: Wanted, model: Model, space: Space, limit: int, group: Alone) -> Encoded:
    """Tokenise the rows; of several processes the first one fills the cache, and the others take theirs from it."""
    cached = len(rows) >= CACHED_FROM
    if cached and not group.leads:
        group.share(None)
    data = encode(rows, wanted.task, model.tokenizer, space, limit)
    if cached and group.leads:
        group.share(True)
    if len(data.packed) < group.world:
        raise UserError(f"There are {len(data.packed)} training sequences for {group.world} processes; take fewer.")
    return data


def _shared(group: Alone, probe: Callable[[], Linear | None]) -> Linear | None:
    """Return the first process's solution."""
    if group.world == 1:
        return probe()
    import torch

    found = probe() if group.leads else None
    given = None
    if found is not None:
        tensors = {"weight": torch.as_tensor(found.weight), "bias": torch.as_tensor(found.bias)}
        given = {"tensors": tensors, "facts": {"strength": found.strength}}
    told = group.spread(given)
    if told is None:
        return None
    weight, bias = (told["tensors"][name].numpy() for name in ("weight", "bias"))
    return Linear(weight, bias, told["facts"]["strength"])


def _recall(trained: Trained, facts: dict[str, Any]) -> None:
    """Take over what the run told before it was stopped."""
    trained.history = list(facts.get("history", []))
    trained.timing = dict(facts.get("timing", {}))
    trained.steps = facts["step"]
    for entry in trained.history:
        if entry["best"]:
            trained.epochs = entry["epoch"]


def _note(trained: Trained, progress: Progress) -> None:
    trained.history.append(
        {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.loss,
            "rate": progress.rate,
            "score": progress.score.value if progress.score else None,
            "best": progress.best,
            **progress.extra,
        }
    )
    trained.timing |= {
        "examples_per_second": progress.examples_per_second,
        "tokens_per_second": progress.tokens_per_second,
        "padding_share": progress.padding_share,
    }
    trained.steps = progress.step
    if progress.note:
        log.note(progress.note)
