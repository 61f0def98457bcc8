"""A run of several tasks on one backbone: each is read, judged and written as a run of its own would be."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.balancer import Balancer
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Space
from graftlm.core import environment, files, hashing, log, memory, processes, seeds
from graftlm.core.errors import GateMissed, Interrupted, RecipeError, listing
from graftlm.pipeline.check import check, of_task
from graftlm.pipeline.compare import compare_baselines
from graftlm.pipeline.earlier import contents
from graftlm.pipeline.finish import finish, texts_of, warnings_of
from graftlm.pipeline.work import Checked, Nobody, Run, Watcher, Work, missed_gate
from graftlm.recipe import Recipe
from graftlm.report.figures import signed

if TYPE_CHECKING:
    import numpy as np

    from graftlm.bundle import Kept
    from graftlm.contracts.model import Model
    from graftlm.stages.tracking import Tracking
    from graftlm.stages.training.encoding import Held
    from graftlm.stages.training.features import Features
    from graftlm.stages.training.fitting import Trained
    from graftlm.stages.training.fitting_several import Asked, Shared

FOLDER = "tasks"
"""Folder of the run that holds one run folder a task."""
_NAME = re.compile(r"\w[\w -]{0,63}")


@dataclass(frozen=True, slots=True)
class _Line:
    """One of the tasks, read and checked."""

    name: str
    work: Work
    checked: Checked
    weight: float


@dataclass(frozen=True, slots=True)
class _Ready:
    """One of the tasks, ready to be trained and judged."""

    line: _Line
    asked: Asked
    features: Features
    held: Held | None

    def judged(self, model: Model, precision: Any, device: str | None = None) -> tuple[float, Space]:
        """Return the task's own metric on its validation rows, so that more is better, and what it chose on them."""
        from graftlm.prediction import Predictor

        held, asked = self.held, self.asked
        if held is None:
            return 0.0, asked.space
        predictor = Predictor(
            model, asked.task.in_training(), asked.space, limit=asked.limit, precision=precision, device=device
        )
        answers = predictor.tune(held.inputs, held.examples)
        metric = asked.task.primary
        value = metric.compute(asked.task.grade(answers, held.examples, predictor.space))
        return (value if metric.higher_is_better else -value), predictor.space

    def kept(self, model: Model, precision: Any, device: str) -> Kept:
        """Return what the bundle keeps of the task, with what is chosen on validation rows after training."""
        from graftlm.bundle import Kept

        asked, splits, space = self.asked, self.line.checked.dataset.splits, self.asked.space
        if type(asked.task).tune is not Task.tune:
            _, space = self.judged(model, precision, device)
        return Kept(
            model, asked.task, space, asked.limit, texts_of(asked.task, splits["train"]),
            data={name: len(rows) for name, rows in splits.items()}, limits=warnings_of(self.line.checked),
        )  # fmt: skip


def recipes_of(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe of each task as if it were alone.

    Raises:
        RecipeError: something of the recipe does not go with several tasks.
    """
    reasons = [
        f"tasks: '{name}' cannot be the name of a task, since files are named by it: letters, digits, blanks, - and _"
        for name in recipe.tasks
        if not _NAME.fullmatch(name)
    ]
    if recipe.train.processes != 1 or processes.place().launched:
        reasons.append("train.processes: several tasks train in one process")
    if recipe.train.refit:
        reasons.append("train.refit: several tasks are not trained once more on validation rows")
    if recipe.remember.runs or recipe.remember.text:
        reasons.append("remember: earlier runs are not remembered beside several tasks")
    if reasons:
        raise RecipeError("The recipe has several tasks:\n" + "\n".join(f"  {reason}." for reason in reasons))
    shared = recipe.data.model_dump(exclude_unset=True)
    found = {}
    for name, entry in recipe.tasks.items():
        own = {**shared, **entry.data.model_dump(exclude_unset=True)}
        data = type(recipe.data).model_validate(own)
        found[name] = recipe.model_copy(
            update={"task": entry.task, "data": data, "tasks": {}, "balancer": Recipe().balancer}
        )
    return found


def fit_several(
    recipe: Recipe,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    own_metrics: Sequence[Callable[..., float]] = (),
) -> Run:
    """Train one backbone for several tasks; each gets a run folder of its own in `tasks/`, all share one bundle.

    Raises:
        UserError: what was given cannot be used.
        Interrupted: the user stopped the run; it can be resumed.
        GateMissed: the run is done, but `evaluate.require_gain` was not met by every task.
    """
    from graftlm.stages import checking, run_folder
    from graftlm.stages.tracking import Tracking
    from graftlm.stages.training.stopping import terminable

    environment.settle()
    alone = recipes_of(recipe)
    folder = run_folder.examine(recipe, resume=resume)
    whole = Work(recipe, folder, watch or Nobody(), resume)
    tracking = Tracking(recipe.train.trackers, folder, recipe.as_json())
    whole.stage("read")
    lines = []
    for name, own in alone.items():
        log.note(f"task {name}:")
        with of_task(name):
            checked = check(own, None, opened=own.backbone.open_on)
            checking.raise_for(checked.findings)
        settled = own if checked.task is None else own.model_copy(update={"task": checked.task})
        work = Work(settled, folder / FOLDER / name, whole.watch, resume)
        lines.append(_Line(name, work, checked, recipe.tasks[name].weight))
    marks = {
        f"{line.name}.{split}": mark for line in lines for split, mark in line.checked.dataset.fingerprints().items()
    }
    beside = contents(recipe)
    if resume:
        run_folder.same_data(folder, marks)
        run_folder.same_named(folder, beside)
    try:
        with terminable(), run_folder.locked(folder):
            run_folder.prepare(recipe, folder, resume=resume)
            files.write_json(
                folder / "data.json",
                {"fingerprints": marks, "named": beside, FOLDER: {line.name: line.checked.as_json() for line in lines}},
            )
            for line in lines:
                line.work.folder.mkdir(parents=True, exist_ok=True)
                files.write_json(line.work.folder / "data.json", line.checked.as_json())
                files.write_text(line.work.folder / "recipe.yaml", line.work.recipe.as_yaml())
                for finding in line.checked.findings:
                    if finding.level == "warning":
                        log.warn(f"{line.name}: {finding.message}")
            run = _fit(whole, lines, own_metrics, tracking)
            told = {
                f"{name} {split}": scores
                for name, one in run.metrics[FOLDER].items()
                for split, scores in one["metrics"].items()
            }
            tracking.finish({"metrics": told}, folder / "report.html", run.bundle)
    except (Interrupted, KeyboardInterrupt) as stop:
        said = str(stop) or "Stopped."
        raise Interrupted(f"{said} Go on with the same command and: --out {folder} --resume") from None
    finally:
        tracking.close()
    if (missed := missed_gate(recipe, run.metrics, folder)) is not None:
        raise GateMissed(missed)
    return run


def _fit(whole: Work, lines: Sequence[_Line], own_metrics: Sequence[Callable[..., float]], tracking: Tracking) -> Run:
    from graftlm import bundle
    from graftlm.prediction import embed
    from graftlm.stages.evaluating import own_metric
    from graftlm.stages.training.assembling import assemble, embedding_model
    from graftlm.stages.training.encoding import hold
    from graftlm.stages.training.features import Features
    from graftlm.stages.training.fitting_several import Asked, Shared, fit_several, refuse

    recipe = whole.recipe
    section = recipe.train
    base = lines[0].checked.base or recipe.backbone.open()
    named: list[Any] = [*recipe.evaluate.metrics, *own_metrics]
    own = [own_metric(metric) for metric in named]
    whole.stage("load")
    ready = []
    for line in lines:
        task, splits = line.work.recipe.task, line.checked.dataset.splits
        rows, limit, valid = splits["train"], line.checked.limit or base.card.limit, splits.get("valid")
        space = task.space(rows)
        features = Features(
            assemble(base, recipe.backbone, task, space, seed=section.seed),
            task, space, limit=limit, device=section.device, precision=section.precision, seed=section.seed,
        )  # fmt: skip
        held = hold(valid, task, base.tokenizer, limit) if valid is not None and len(valid) else None
        ready.append(_Ready(line, Asked(task, space, rows, limit, line.weight, _probe(features, rows)), features, held))

    def vectors(texts: Sequence[str]) -> np.ndarray:
        bare = embedding_model(base, recipe.backbone)
        limit = base.card.limit
        return embed(bare, texts, limit=limit, precision=section.precision, device=section.device)

    tasks = {one.line.name: one.asked for one in ready}
    shared = Shared(section, recipe.backbone, recipe.methods, recipe.losses, recipe.balancer, recipe.augmentations)
    refuse(shared, base, tasks)  # before baselines are fitted, which takes a while
    contenders = {}
    for one in ready:
        line = one.line
        log.note(f"task {line.name}:")
        contenders[line.name] = compare_baselines(
            line.work, line.checked.dataset.splits, one.asked.space, one.features, _no_scratch, vectors, own
        )
        whole.seconds |= {f"{line.name}: {stage}": spent for stage, spent in line.work.seconds.items() if stage}
    shared = dataclasses.replace(shared, balancer=_searched(whole, shared, base, tasks))
    whole.stage("train")
    marks = [line.checked.dataset.fingerprints() for line in lines]
    mark = hashing.of_value([recipe.fingerprint(), marks, contents(recipe)])

    judged = [one for one in ready if one.held is not None]
    if judged and len(judged) < len(ready):
        blind = listing([one.line.name for one in ready if one.held is None])
        log.warn(f"{blind}: no validation rows; the best weights are chosen on those of the other tasks alone")

    def judge(models: Mapping[str, Model]) -> dict[str, float]:
        return {one.line.name: one.judged(models[one.line.name], section.precision)[0] for one in judged}

    trained, models = fit_several(
        shared, base, tasks, judge=judge if judged else None, folder=whole.folder,
        resume=whole.resume, fingerprint=mark, watch=tracking.watching(whole.watch.progress),
    )  # fmt: skip
    whole.stage("bundle")
    kept = {one.line.name: one.kept(models[one.line.name], section.precision, section.device) for one in ready}
    write = partial(
        bundle.write_shared, whole.folder / "bundle", recipe=recipe.as_json(),
        lineage={
            "base": base.card.hub_id or base.card.name,
            "data": {line.name: line.checked.dataset.fingerprints() for line in lines},
        },
    )  # fmt: skip
    write(kept)
    runs = {}
    for one in ready:
        name = one.line.name
        runs[name] = finish(
            one.line.work, dataclasses.replace(trained, model=models[name]), kept[name].space, one.line.checked,
            one.asked.limit, contenders[name], own, {}, kept=bundle.open_bundle(whole.folder / "bundle", name),
        )  # fmt: skip
    write({name: dataclasses.replace(one, metrics=runs[name].metrics) for name, one in kept.items()})
    return _told(whole, lines, runs, shared.balancer, trained)


def _probe(features: Features, rows: Rows) -> Callable[[], Any]:
    return lambda: features.probe(rows)


def _no_scratch() -> Any:
    raise RecipeError("evaluate.baselines: 'scratch' trains one task from random weights; name it for one task alone.")


def _searched(whole: Work, shared: Shared, base: Any, tasks: Mapping[str, Asked]) -> Balancer:
    """Let the balancer look for its weights on folds of the training rows, where it does so."""
    from graftlm.prediction import Predictor
    from graftlm.stages.training.fitting_several import trial

    balancer = shared.balancer
    if type(balancer).search is Balancer.search:
        return balancer
    if (reason := balancer.refuses(list(tasks))) is not None:
        raise RecipeError(f"balancer '{balancer.name()}': {reason}.")
    whole.stage("balance")
    seed = shared.section.seed
    plain = dataclasses.replace(shared, balancer=Balancer())  # every task in every step, weighed as an attempt says
    order = {name: seeds.generator(seed, "folds", name).permutation(len(one.rows)) for name, one in tasks.items()}

    def attempt(weights: Mapping[str, float], fold: int, folds: int, rungs: Sequence[int]) -> Iterator[float]:
        parts, judged = {}, {}
        for name, one in tasks.items():
            out = sorted(order[name][fold::folds].tolist())
            held = set(out)
            kept = [row for row in range(len(one.rows)) if row not in held]
            parts[name] = dataclasses.replace(one, rows=one.rows.take(kept), probe=lambda: None)
            judged[name] = one.rows.take(out)

        def judge(models: Mapping[str, Model]) -> dict[str, float]:
            values = {}
            for name, one in tasks.items():
                predictor = Predictor(
                    models[name], one.task.in_training(), one.space, limit=one.limit,
                    precision=shared.section.precision,
                )  # fmt: skip
                examples = judged[name].examples()
                answers = predictor.tune(predictor.encode(examples), examples)
                value = one.task.primary.compute(one.task.grade(answers, examples, one.space))
                values[name] = value if one.task.primary.higher_is_better else -value
            return values

        return trial(plain, base, parts, weights, rungs, judge)

    return balancer.search(list(tasks), attempt, seed)


def _told(whole: Work, lines: Sequence[_Line], runs: Mapping[str, Run], balancer: Balancer, trained: Trained) -> Run:
    """Write figures and page of the whole run, with the gap to single training where it was asked for."""
    from graftlm.report import page
    from graftlm.report.values import joint_values

    recipe, folder = whole.recipe, whole.folder
    tree: dict[str, Any] = {FOLDER: {name: dict(run.metrics) for name, run in runs.items()}}
    tree["balancer"] = balancer.as_use()
    if recipe.evaluate.single:
        tree["single"] = {line.name: _against_single(whole, line, runs[line.name]) for line in lines}
    whole.stage("")
    first = next(iter(runs.values())).metrics
    tree["timing"] = {
        **first["timing"], "seconds": {name: round(spent, 3) for name, spent in whole.seconds.items()},
        "peak_memory_bytes": memory.peak_bytes(),
    }  # fmt: skip
    tree |= {key: first[key] for key in ("parameters", "device", "precision", "versions") if key in first}
    files.write_text(folder / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in trained.history))
    checked = {line.name: line.checked for line in lines}
    shown = joint_values(folder.name, recipe, tree, checked, trained.history, trained.model.card)
    files.write_text(folder / "report.html", page.page(shown))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    # last: a run folder with metrics.json is a finished run
    files.write_json(folder / "metrics.json", tree)
    findings = tuple(finding for run in runs.values() for finding in run.findings)
    return Run(folder, tree, None, findings, recipe)


def _against_single(whole: Work, line: _Line, run: Run) -> dict[str, Any]:
    """Train a task alone, and return by how much the joint model is better, on the same rows."""
    from graftlm.pipeline.fit import fit
    from graftlm.prediction.lines import read_predictions
    from graftlm.stages.evaluating import paired

    place = whole.folder / "single" / line.name
    log.note(f"task {line.name}, alone:")
    evaluate = whole.recipe.evaluate.model_copy(update={"baselines": "none", "single": False, "require_gain": False})
    recipe = line.work.recipe.model_copy(update={"out": str(place), "evaluate": evaluate})
    if not (place / "metrics.json").is_file():
        fit(recipe, resume=place.is_dir(), watch=whole.watch)
    split = next(name for name in ("test", "valid") if (run.folder / "predictions" / f"{name}.jsonl").is_file())
    joint, single = (read_predictions(_predictions(folder, split)).grades for folder in (run.folder, place))
    task = line.work.recipe.task
    found = paired(task, joint, single, resamples=evaluate.resamples, seed=whole.recipe.train.seed)
    hurt = found.p_value < 0.05 and found.gain < 0
    alone = json.loads((place / "metrics.json").read_text(encoding="utf-8"))["metrics"][split][task.primary.name]
    gap = {**found.as_json(), "split": split, "hurt": hurt, "metric": task.primary.name, "alone": alone}
    if hurt:
        log.warn(
            f"{line.name}: training together hurt: {signed(gap, bool(alone['percent']))} against training it alone. "
            f"Weigh it more (tasks.{line.name}.weight), try another balancer (pcgrad, cross_validated), or train it "
            "alone."
        )
    return gap


def _predictions(folder: Path, split: str) -> Path:
    return folder / "predictions" / f"{split}.jsonl"
