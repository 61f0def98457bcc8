"""The pipeline: wires the stages of a run. The only module that knows them all."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from graftlm.contracts.dataset import Dataset
from graftlm.contracts.progress import Progress
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Finding, Score, Space
from graftlm.core import environment, files, hashing, log, memory, registry
from graftlm.core.errors import GateMissed, Interrupted
from graftlm.recipe import Recipe

if TYPE_CHECKING:
    from graftlm.contracts.backbone import Base
    from graftlm.contracts.model import Model
    from graftlm.contracts.verdict import Verdict
    from graftlm.stages.evaluating import Contender, OwnMetric
    from graftlm.stages.training.features import Features
    from graftlm.stages.training.fitting import Trained


class Watcher(Protocol):
    """Whoever wants to see how a run goes."""

    def stage(self, name: str) -> None:
        """Hear that a stage begins."""

    def progress(self, progress: Progress) -> None:
        """See the state of training."""


class Nobody:
    """Watches nothing."""

    def stage(self, name: str) -> None:
        """Hear that a stage begins."""

    def progress(self, progress: Progress) -> None:
        """See the state of training."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, the tree of metrics.json, the verdict and what the check found."""

    folder: Path
    metrics: Mapping[str, Any]
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    recipe: Recipe

    @property
    def bundle(self) -> Path:
        """Return the folder of the bundle."""
        return self.folder / "bundle"


@dataclass
class _Work:
    """What the stages of one run hand on."""

    recipe: Recipe
    folder: Path
    watch: Watcher
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = 0.0
    current: str = ""

    def stage(self, name: str) -> None:
        now = time.monotonic()
        if self.current:
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now - self.began
        self.current, self.began = name, now
        if name:
            self.watch.stage(name)


@dataclass(frozen=True, slots=True)
class Checked:
    """Data that were read and checked, before any weights are loaded."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    counts: Mapping[str, Any]
    limit: int | None
    base: Base | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what data.json keeps."""
        return {
            **self.dataset.facts,
            "counts": {name: dict(found) for name, found in self.counts.items()},
            "fingerprints": self.dataset.fingerprints(),
            "findings": [finding.as_json() for finding in self.findings],
        }


def check(
    recipe: Recipe, given: Mapping[str, Any] | None = None, *, opened: Callable[[], Base] | None = None
) -> Checked:
    """Read and check the data of a recipe; with a base model, token lengths and language too.

    `opened()` opens the base model: it is called once the data can be read and the task can use them.

    Raises:
        DataError: the data cannot be read, or the task cannot use them and there is a base model to open.
    """
    from graftlm.stages import checking, reading
    from graftlm.stages.language import check_language

    task = recipe.task
    dataset = reading.read(recipe.data, task, given, seed=recipe.train.seed)
    base = None
    if opened is not None:
        checking.raise_for([*dataset.findings, *task.check(dict(dataset.splits))])
        base = opened()
    limit = base.card.limit if base else None
    lengths = None
    if base is not None:
        tokenizer, longest = base.tokenizer, base.card.limit

        def lengths(rows: Rows) -> Any:
            import numpy as np

            parts = [task.encode(chunk, tokenizer, longest) for chunk in rows.chunks()]
            return np.array([len(one) + one.truncated for part in parts for one in part])

    found = checking.check(dataset, task, recipe.data, lengths=lengths, limit=limit)
    findings = tuple(found.findings)
    if base is not None:
        roles = [role.name for role in task.roles if role.kind == "text"]
        findings += tuple(check_language(found.dataset.train, roles, base.card, base.tokenizer))
    return Checked(found.dataset, findings, found.counts, limit, base)


def fit(
    recipe: Recipe,
    given: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    own_metrics: Sequence[Callable[..., float]] = (),
) -> Run:
    """Carry a pretrained model over to data: read, check, train, compare with baselines, write a bundle.

    `given` maps "train", "valid", "test" to objects in memory or paths that take the place of the
    recipe's.

    Raises:
        UserError: what was given cannot be used.
        Interrupted: the user stopped the run; it can be resumed.
        GateMissed: the run is done, but `evaluate.require_gain` was not met.
    """
    from graftlm.stages import checking, run_folder
    from graftlm.stages.evaluating import own_metric

    environment.settle()
    named: list[Any] = [*recipe.evaluate.metrics, *own_metrics]
    own = [own_metric(metric) for metric in named]
    folder = run_folder.examine(recipe, resume=resume)
    work = _Work(recipe, folder, watch or Nobody(), resume)
    work.stage("read")
    checked = check(recipe, given, opened=recipe.backbone.open)
    checking.raise_for(checked.findings)
    run_folder.same_data(folder, checked.dataset.fingerprints())
    # made only now, so that a wrong path or a fault in the data leaves no folder in the way of the next try
    if recipe.train.device != "auto":
        from graftlm.nn.precision import device_for

        device_for(recipe.train.device)  # before the folder is made: a device that is not there leaves nothing behind
    run_folder.prepare(recipe, folder)
    files.write_json(folder / "data.json", checked.as_json())
    for finding in checked.findings:
        if finding.level == "warning":
            log.warn(finding.message)
    try:
        run = _fit(work, checked, own)
    except (Interrupted, KeyboardInterrupt) as stop:
        said = str(stop) or "Stopped."
        raise Interrupted(f"{said} Go on with the same command and: --out {folder} --resume") from None
    if recipe.evaluate.require_gain and (run.verdict is None or run.verdict.verdict != "helped"):
        said = run.verdict.sentence if run.verdict else "there is no baseline to compare with."
        raise GateMissed(f"evaluate.require_gain: {said} The run lies in '{folder}'.")
    return run


def _fit(work: _Work, checked: Checked, own: Sequence[OwnMetric]) -> Run:
    from graftlm.contracts.pretrained import from_config
    from graftlm.prediction import Predictor
    from graftlm.stages.training.assembling import assemble
    from graftlm.stages.training.encoding import hold
    from graftlm.stages.training.features import Features
    from graftlm.stages.training.fitting import Wanted
    from graftlm.stages.training.fitting import fit as train
    from graftlm.stages.training.refitting import joined

    recipe, task, splits = work.recipe, work.recipe.task, checked.dataset.splits
    section, rows, valid = recipe.train, splits["train"], splits.get("valid")
    base = checked.base or recipe.backbone.open()
    limit = checked.limit or base.card.limit
    work.stage("load")
    space = task.space(rows)
    wanted = Wanted(section, recipe.backbone, task, recipe.methods, recipe.losses, recipe.augmentations)
    features = Features(
        assemble(base, recipe.backbone, task, space, seed=section.seed),
        task, space, limit=limit, device=section.device, precision=section.precision, seed=section.seed,
    )  # fmt: skip
    held = hold(valid, task, base.tokenizer, limit) if valid is not None and len(valid) else None

    def judge(model: Model) -> Score:
        predictor = Predictor(model, task, space, limit=limit, precision=section.precision)
        answers = predictor.of_inputs(held.inputs, held.examples)  # type: ignore[union-attr]
        primary = task.primary
        value = primary.compute(task.grade(answers, held.examples, space))  # type: ignore[union-attr]
        return Score(value, n=len(answers), higher_is_better=primary.higher_is_better)

    mark = hashing.of_value([recipe.fingerprint(), checked.dataset.fingerprints()])

    def scratch() -> Callable[[Rows], Sequence[Answer]]:
        card = base.card
        facts: dict[str, Any] = {"pooling": card.pooling, "languages": card.languages}
        fresh = from_config(base.config, base.tokenizer, name=f"random {card.name}", seed=section.seed, **facts)
        # every parameter trains: the recipe's default method, whatever the run itself uses
        other = dataclasses.replace(wanted, methods=Recipe().methods, losses=(), augmentations=())
        trained = train(
            other, fresh, space, rows, limit=limit, probe=lambda: None, judge=judge if held else None,
            folder=work.folder / "scratch", resume=work.resume, fingerprint=mark, watch=work.watch.progress,
        )  # fmt: skip
        predictor = Predictor(trained.model, task, space, limit=limit, precision=section.precision)
        return lambda asked: predictor.answers(asked.examples())

    contenders = _baselines(work, splits, space, features, scratch, own)
    work.stage("train")
    options: dict[str, Any] = {
        "limit": limit, "probe": lambda: features.probe(rows), "watch": work.watch.progress
    }  # fmt: skip
    trained: Trained = train(
        wanted, base, space, rows, judge=judge if held else None, folder=work.folder, resume=work.resume,
        fingerprint=mark, **options,
    )  # fmt: skip
    known: dict[str, Sequence[Answer]] = {}
    if section.refit and valid is not None and held is not None and not trained.solved:
        # the refitted model has seen the validation rows: figures on them are the first model's
        first = Predictor(trained.model, task, space, limit=limit, precision=section.precision)
        known["valid"] = first.of_inputs(held.inputs, held.examples)
        work.stage("refit")
        again = train(wanted, base, space, joined(rows, valid, space), epochs=trained.epochs, **options)
        trained = dataclasses.replace(again, history=trained.history)
    return _finish(work, trained, space, checked, limit, contenders, own, known)


def _baselines(
    work: _Work,
    splits: Mapping[str, Rows],
    space: Space,
    features: Features,
    scratch: Callable[[], Callable[[Rows], Sequence[Answer]]],
    own: Sequence[OwnMetric],
) -> dict[str, Contender]:
    """Fit and score each baseline on the validation and test rows."""
    from graftlm.contracts.baseline import BaselineSetting
    from graftlm.stages.evaluating import Contender, score

    recipe, task, rows = work.recipe, work.recipe.task, splits["train"]
    asked = recipe.evaluate.baselines
    if asked == "none":
        return {}
    chosen = [registry.make("baseline", name) for name in task.baselines] if asked == "auto" else asked
    setting = BaselineSetting(
        task, space, recipe.train.seed, features=features, probe=lambda: features.probe(rows), scratch=scratch
    )
    found = {}
    for baseline in chosen:
        work.stage(f"baseline {baseline.name()}")
        fitted = baseline.fit(rows, setting)
        scores = {}
        for split in ("valid", "test"):
            if split in splits and len(splits[split]):
                examples = splits[split].examples()
                scores[split] = score(
                    task, fitted(splits[split]), examples, space,
                    resamples=recipe.evaluate.resamples, seed=recipe.train.seed, own_metrics=own,
                )  # fmt: skip
        found[baseline.name()] = Contender(scores, baseline.pretrained)
    return found


def _finish(
    work: _Work,
    trained: Trained,
    space: Space,
    checked: Checked,
    limit: int,
    contenders: Mapping[str, Contender],
    own: Sequence[OwnMetric],
    known: Mapping[str, Sequence[Answer]],
) -> Run:
    """Write the bundle, answer with what was written (but for `known` answers by split), judge, report."""
    from graftlm import bundle
    from graftlm.nn import precision as formats
    from graftlm.prediction import Predictor, write_predictions
    from graftlm.report import page
    from graftlm.report.values import report_values
    from graftlm.stages.evaluating import confidently_wrong, judge_transfer, metrics_json, score

    recipe, task, splits = work.recipe, work.recipe.task, checked.dataset.splits
    section, folder, card = recipe.train, work.folder, trained.model.card
    texts = [role.name for role in task.roles if role.kind == "text" and splits["train"].has(role.name)]

    def write(metrics: Mapping[str, Any]) -> None:
        bundle.write(
            folder / "bundle", trained.model, task, space, max_length=limit, roles=texts, recipe=recipe.as_json(),
            lineage={"base": card.hub_id or card.name, "data": checked.dataset.fingerprints()},
            metrics=metrics, data={name: len(rows) for name, rows in splits.items()},
            limits=[finding.message for finding in checked.findings if finding.level == "warning"],
        )  # fmt: skip

    work.stage("bundle")
    write({})
    opened = bundle.open_bundle(folder / "bundle")
    model = bundle.load(opened, device=section.device, precision=section.precision)
    predictor = Predictor(model, task, space, limit=limit, precision=section.precision)
    work.stage("evaluate")
    scores, answers = {}, {}
    for split in ("valid", "test"):
        if split in splits and len(splits[split]):
            examples = splits[split].examples()
            answers[split] = (examples, known[split] if split in known else predictor.answers(examples))
            scores[split] = score(
                task, answers[split][1], examples, space,
                resamples=recipe.evaluate.resamples, seed=section.seed, own_metrics=own,
            )  # fmt: skip
            path = folder / "predictions" / f"{split}.jsonl"
            write_predictions(path, task, examples, answers[split][1], scores[split].grades)
    verdict = None
    if scores:
        verdict = judge_transfer(task, scores, contenders, resamples=recipe.evaluate.resamples, seed=section.seed)
    work.stage("report")
    timing = {
        **{key: trained.timing.get(key) for key in ("examples_per_second", "tokens_per_second", "padding_share")},
        "seconds": {name: round(value, 3) for name, value in work.seconds.items()},
        "saving_seconds": round(trained.timing.get("saving", 0.0), 3),
        "peak_memory_bytes": memory.peak_bytes(),
    }
    device = formats.device_for(section.device)
    metrics: dict[str, Any] = {"task": task.name(), "primary": None, "metrics": {}, "transfer": None, "timing": timing}
    if scores:
        metrics = metrics_json(
            task, scores, {name: one.scores for name, one in contenders.items()}, verdict, timing=timing,
            device=str(device), precision=formats.choose(section.precision, device)[1],
            versions=opened.manifest["versions"],
        )  # fmt: skip
    write(metrics)
    log_path = folder / "log.jsonl"
    files.write_text(log_path, "".join(json.dumps(entry) + "\n" for entry in trained.history))
    shown = next((name for name in ("test", "valid") if name in scores), None)
    wrong = []
    if shown is not None:
        examples, given = answers[shown]
        wrong = confidently_wrong(task, given, examples, scores[shown].grades)
    files.write_text(
        folder / "report.html",
        page.page(
            report_values(
                folder.name,
                recipe,
                metrics,
                checked,
                trained.history,
                trained.model.card,
                details=task.details(scores[shown].grades, space) if shown else {},
                wrong=wrong,
            )
        ),
    )
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    # last: a run folder with metrics.json is a finished run
    files.write_json(folder / "metrics.json", metrics)
    work.stage("")
    return Run(folder, metrics, verdict, checked.findings, recipe)
