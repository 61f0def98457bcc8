"""The end of a run: the bundle, the figures, the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Answer, Space
from graftlm.core import files, memory
from graftlm.pipeline.earlier import leave
from graftlm.pipeline.remember import Remembered
from graftlm.pipeline.work import Checked, Run, Work

if TYPE_CHECKING:
    from graftlm.bundle import Bundle
    from graftlm.stages.evaluating import Contender, OwnMetric
    from graftlm.stages.training.fitting import Trained


def finish(
    work: Work,
    trained: Trained,
    space: Space,
    checked: Checked,
    limit: int,
    contenders: Mapping[str, Contender],
    own: Sequence[OwnMetric],
    known: Mapping[str, Sequence[Answer]],
    remembered: Remembered | None = None,
    kept: Bundle | None = None,
) -> Run:
    """Write the bundle, answer with what was written (but for `known` answers by split), judge, report.

    With `kept` the model lies in a bundle already, one of several tasks: it answers from there.
    """
    from graftlm import bundle
    from graftlm.nn import precision as formats
    from graftlm.prediction import Predictor, write_predictions
    from graftlm.report import page
    from graftlm.report.values import report_values
    from graftlm.stages.evaluating import confidently_wrong, judge_transfer, metrics_json, score

    recipe, task, splits = work.recipe, work.recipe.task, checked.dataset.splits
    section, folder, card = recipe.train, work.folder, trained.model.card

    def write(metrics: Mapping[str, Any]) -> None:
        bundle.write(
            folder / "bundle", trained.model, task, space, max_length=limit,
            roles=texts_of(task, splits["train"]), recipe=recipe.as_json(),
            lineage={"base": card.hub_id or card.name, "data": checked.dataset.fingerprints()},
            metrics=metrics, data={name: len(rows) for name, rows in splits.items()},
            limits=warnings_of(checked),
        )  # fmt: skip

    work.stage("bundle")
    if kept is None:
        write({})
    opened = bundle.open_bundle(folder / "bundle") if kept is None else kept
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
    metrics["parameters"] = trained.facts["parameters"]
    if signatures := task.signatures(space):
        metrics["signatures"] = signatures
    if remembered is not None:
        metrics["remember"] = remembered.tree
    if kept is None:
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
    leave(folder, trained.left)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    # last: a run folder with metrics.json is a finished run
    files.write_json(folder / "metrics.json", metrics)
    work.stage("")
    return Run(folder, metrics, verdict, checked.findings, recipe)


def texts_of(task: Task, rows: Rows) -> list[str]:
    """Return the text roles that the rows have: what the model is trained to read."""
    return [role.name for role in task.roles if role.kind == "text" and rows.has(role.name)]


def warnings_of(checked: Checked) -> list[str]:
    """Return what the model card says about the data."""
    return [finding.message for finding in checked.findings if finding.level == "warning"]
