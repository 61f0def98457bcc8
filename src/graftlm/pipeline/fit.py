"""One run: read, check, train, compare, write."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graftlm.contracts.ground import Ground
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Answer, Score, Space
from graftlm.core import environment, files, hashing, log
from graftlm.core.errors import GateMissed, Interrupted
from graftlm.pipeline.check import check
from graftlm.pipeline.compare import compare_baselines
from graftlm.pipeline.crew import Crew, fresh_base, gathered
from graftlm.pipeline.earlier import contents, look_ahead, open_earlier
from graftlm.pipeline.finish import finish
from graftlm.pipeline.forward import forward_transfer
from graftlm.pipeline.remember import check_methods, check_start, general_text, open_sources, remember
from graftlm.pipeline.work import Checked, Nobody, Run, Watcher, Work, missed_gate
from graftlm.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from graftlm.contracts.model import Model
    from graftlm.stages.evaluating import OwnMetric
    from graftlm.stages.tracking import Tracking
    from graftlm.stages.training.encoding import Held
    from graftlm.stages.training.fitting import Trained


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
    environment.settle()
    with gathered(recipe) as (crew, runs):
        return _lead(recipe, given, crew, runs, resume=resume, watch=watch or Nobody(), own_metrics=own_metrics)


def _lead(
    recipe: Recipe,
    given: Mapping[str, Any] | None,
    crew: Crew,
    runs: list[Run],
    *,
    resume: bool,
    watch: Watcher,
    own_metrics: Sequence[Callable[..., float]],
) -> Run:
    """Do what one process does: all but its share of the training, of which `crew` sees to the rest."""
    from graftlm.stages import checking, run_folder
    from graftlm.stages.evaluating import own_metric
    from graftlm.stages.tracking import Tracking
    from graftlm.stages.training.stopping import terminable

    named: list[Any] = [*recipe.evaluate.metrics, *own_metrics]
    own = [own_metric(metric) for metric in named]
    folder = run_folder.examine(recipe, resume=resume)
    work = Work(recipe, folder, watch, resume)
    tracking = Tracking(recipe.train.trackers, folder, recipe.as_json())
    work.stage("read")
    checked = check(recipe, given, opened=crew.open_on)
    checking.raise_for(checked.findings)
    beside = contents(recipe)
    if resume:
        run_folder.same_data(folder, checked.dataset.fingerprints())
        run_folder.same_named(folder, beside)
    crew.suits(len(checked.dataset.train))
    # made only now, so that a wrong path or a fault in the data leaves no folder in the way of the next try
    if recipe.train.device != "auto":
        from graftlm.nn.precision import device_for

        device_for(recipe.train.device)  # before the folder is made: a device that is not there leaves nothing behind
    try:
        with terminable(), run_folder.locked(folder):
            run_folder.prepare(recipe, folder, resume=resume)
            files.write_json(folder / "data.json", {**checked.as_json(), "named": beside})
            for finding in checked.findings:
                if finding.level == "warning":
                    log.warn(finding.message)
            if checked.task is not None:
                work.recipe = recipe.model_copy(update={"task": checked.task})
            run = _fit(work, checked, own, crew, tracking)
            tracking.finish(run.metrics, folder / "report.html", run.bundle)
            runs.append(run)
    except (Interrupted, KeyboardInterrupt) as stop:
        said = str(stop) or "Stopped."
        raise Interrupted(f"{said} Go on with the same command and: --out {folder} --resume") from None
    finally:
        tracking.close()
    if (missed := missed_gate(recipe, run.metrics, folder)) is not None:
        raise GateMissed(missed)
    return run


def _fit(work: Work, checked: Checked, own: Sequence[OwnMetric], crew: Crew, tracking: Tracking) -> Run:
    from graftlm.prediction import Predictor, embed
    from graftlm.stages.training.assembling import assemble, embedding_model
    from graftlm.stages.training.encoding import hold
    from graftlm.stages.training.features import Features
    from graftlm.stages.training.fitting import Wanted, refuse, setting_of
    from graftlm.stages.training.refitting import joined

    recipe, task, splits = work.recipe, work.recipe.task, checked.dataset.splits
    section, rows, valid = recipe.train, splits["train"], splits.get("valid")
    base = checked.base or recipe.backbone.open()
    limit = checked.limit or base.card.limit
    crew.start()
    work.stage("load")
    space = task.space(rows)
    wanted = Wanted(section, recipe.backbone, task, recipe.methods, recipe.losses, recipe.augmentations)
    model = assemble(base, recipe.backbone, task, space, seed=section.seed)
    # before baselines are fitted, which takes a while; how many steps there will be is not known yet, and plays no part
    refuse(model, wanted, setting_of(wanted, space, rows, limit, sys.maxsize))
    look_ahead(recipe, Ground(model, task, space, seed=section.seed))
    features = Features(
        model,
        task, space, limit=limit, device=section.device, precision=section.precision, seed=section.seed,
    )  # fmt: skip
    held = hold(valid, task, base.tokenizer, limit) if valid is not None and len(valid) else None

    def judge(model: Model) -> Score:
        predictor = Predictor(model, task.in_training(), space, limit=limit, precision=section.precision)
        answers = predictor.tune(held.inputs, held.examples)  # type: ignore[union-attr]
        primary = task.primary
        value = primary.compute(task.grade(answers, held.examples, space))  # type: ignore[union-attr]
        return Score(value, n=len(answers), higher_is_better=primary.higher_is_better)

    mark = hashing.of_value([recipe.fingerprint(), checked.dataset.fingerprints(), contents(recipe)])

    def scratch() -> Callable[[Rows], Sequence[Answer]]:
        fresh = fresh_base(base, section.seed)
        # every parameter trains: the recipe's default method, whatever the run itself uses
        other = dataclasses.replace(wanted, methods=Recipe().methods, losses=(), augmentations=())
        trained = crew.train(
            other, fresh, space, rows, fresh=True, limit=limit, probe=lambda: None, judge=judge if held else None,
            folder=work.folder / "scratch", resume=work.resume, fingerprint=mark, watch=work.watch.progress,
        )  # fmt: skip
        predictor = Predictor(trained.model, task, space, limit=limit, precision=section.precision)
        if held is not None:
            predictor.tune(held.inputs, held.examples)
        return lambda asked: predictor.answers(asked.examples())

    def vectors(texts: Sequence[str]) -> np.ndarray:
        bare = embedding_model(base, recipe.backbone)
        return embed(bare, texts, limit=limit, precision=section.precision, device=section.device)

    sources, start, text = [], {}, None
    if recipe.remember.runs or recipe.remember.text:
        work.stage("remember")
        check_methods(recipe.methods)
        sources = open_sources(recipe.remember, seed=section.seed, resamples=recipe.evaluate.resamples)
        begun = assemble(base, recipe.backbone, task, space, seed=section.seed)
        check_start(sources, begun)
        start = begun.module.get_submodule(begun.base).state_dict()
        text = general_text(recipe.remember, base, begun, seed=section.seed, device=section.device)
    contenders = compare_baselines(work, splits, space, features, scratch, vectors, own)
    ahead = forward_transfer(work, recipe.remember.runs, splits, task, space, contenders, limit)
    work.stage("train")
    options: dict[str, Any] = {
        "limit": limit, "probe": lambda: features.probe(rows), "watch": work.watch.progress, "earlier": open_earlier,
    }  # fmt: skip
    trained: Trained = crew.train(
        wanted, base, space, rows, judge=judge if held else None, folder=work.folder, resume=work.resume,
        fingerprint=mark, **{**options, "watch": tracking.watching(work.watch.progress)},
    )  # fmt: skip
    known: dict[str, Sequence[Answer]] = {}
    tuned = space
    refit = section.refit and valid is not None and held is not None and not trained.solved
    chooses = type(task).tune is not Task.tune

    def choose(held: Held) -> tuple[Sequence[Answer], Space]:
        # on the run's device, whether or not the trained model came back to main memory
        first = Predictor(
            trained.model, task, space, limit=limit, precision=section.precision, device=section.device
        )  # fmt: skip
        return first.tune(held.inputs, held.examples), first.space

    if held is not None and (refit or chooses):
        answers, tuned = choose(held)
        if refit:  # the refitted model has seen the validation rows: figures on them are the first model's
            known["valid"] = answers
    if refit and valid is not None:
        work.stage("refit")
        again = crew.train(wanted, base, space, joined(rows, valid, task, space), epochs=trained.epochs, **options)
        trained = dataclasses.replace(again, history=trained.history)
    remembered = None
    if start:
        work.stage("remember")
        remembered = remember(
            recipe.remember, sources, start, trained.model, judge if held else None,
            text=text, ahead=ahead, seed=section.seed, resamples=recipe.evaluate.resamples,
        )  # fmt: skip
        if remembered.moved:  # what was chosen on the validation rows was chosen for other weights
            known, tuned = {}, choose(held)[1] if held is not None and chooses else tuned
    return finish(work, trained, tuned, checked, limit, contenders, own, known, remembered)
