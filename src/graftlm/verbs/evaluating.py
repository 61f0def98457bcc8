"""`graft evaluate` as a function: a bundle on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from graftlm.bundle import open_bundle
from graftlm.contracts.reader import BadRows
from graftlm.contracts.task import Preparing
from graftlm.contracts.verdict import Scores
from graftlm.stages.applying import as_trained, embedder, predictor_of
from graftlm.stages.evaluating import own_metric, score
from graftlm.stages.reading import columns_of, read_rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of a bundle on one source, and the task's tables behind them."""

    task: str
    source: str
    rows: int
    scores: Scores
    details: Mapping[str, Any] = field(repr=False)
    precision: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "task": self.task,
            "source": self.source,
            "rows": self.rows,
            "primary": {"name": self.scores.primary, **self.scores.headline.as_json()},
            "metrics": self.scores.as_json(),
            "details": dict(self.details),
            "precision": self.precision,
        }


def evaluate(
    run: Path | str,
    source: Any,
    *,
    task: str | None = None,
    columns: Mapping[str, str | list[str]] | None = None,
    metrics: tuple[str, ...] = (),
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    batch_tokens: int | None = None,
    device: str = "auto",
    bad_rows: BadRows = "stop",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Return the figures of a run's bundle on a source with truths, each with its 95 % interval.

    `task` names one of several tasks; `metrics` are the user's own, by import path (`package.module:function`).

    Raises:
        BundleError: the bundle is damaged, incomplete or not safe to open.
        DataError: the source cannot be read, or lacks a column that the task needs.
    """
    bundle = open_bundle(run, task)
    asked, space = bundle.task(), bundle.space()
    own = [own_metric(path) for path in metrics]
    rows = read_rows(source, asked, columns, need_target=True, bad_rows=bad_rows, name="evaluated")
    prepared = asked.prepare({"test": rows}, Preparing(seed, embedder(precision=precision, device=device), columns_of))
    rows = prepared["test"]
    as_trained(bundle, rows.examples(0, 1))
    predictor = predictor_of(bundle, precision=precision, batch_tokens=batch_tokens, device=device)
    examples, answers = [], []
    for chunk in rows.chunks():
        examples += chunk
        answers += predictor.answers(as_trained(bundle, chunk))
    scores = score(asked, answers, examples, space, resamples=resamples, seed=seed, own_metrics=own)
    name = str(source) if isinstance(source, str | Path) else f"a {type(source).__name__}"
    return Evaluation(asked.name(), name, len(examples), scores, asked.details(scores.grades, space), predictor.reason)
