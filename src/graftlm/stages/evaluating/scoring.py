"""Scores with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graftlm.contracts.task import Task
from graftlm.contracts.values import Answer, Example, Grades, Score, Space
from graftlm.contracts.verdict import Scores
from graftlm.core import seeds
from graftlm.nn.resampling import bootstrap_rows, percentile_interval
from graftlm.stages.evaluating.own import OwnMetric

_ROWS = 200_000_000  # rows x resamples: some ten seconds; beyond it fewer resamples are drawn


def score(
    task: Task,
    answers: Sequence[Answer],
    examples: Sequence[Example],
    space: Space,
    *,
    resamples: int,
    seed: int,
    own_metrics: Sequence[OwnMetric] = (),
) -> Scores:
    """Return every metric of a set of answers, each with its 95 % percentile bootstrap interval over rows.

    Metrics that the answers cannot give (log-loss without probabilities, say) are left out.

    Raises:
        ValueError: the numbers of answers and examples differ, or there are none.
        UserError: a metric of the user's own fails, or gives no number.
    """
    if len(answers) != len(examples) or not examples:
        raise ValueError(f"expected as many answers as examples; got {len(answers)} and {len(examples)}")
    grades = task.grade(answers, examples, space)
    size = len(next(iter(grades.values())))
    metrics = [(metric, value) for metric in task.metrics if math.isfinite(value := metric.compute(grades))]
    drawn: dict[str, list[float]] = {metric.name: [] for metric, _ in metrics if metric.resampled}
    for rows in bootstrap_rows(size, affordable(resamples, size), seed=seeds.child(seed, "bootstrap")):
        part = take(grades, rows)
        for metric, _ in metrics:
            # a draw may lack the rows that a figure is about
            if metric.resampled and math.isfinite(value := metric.compute(part)):
                drawn[metric.name].append(value)
    found = {}
    for metric, value in metrics:
        low, high = percentile_interval(drawn[metric.name]) if metric.resampled else (None, None)
        found[metric.name] = Score(value, low, high, len(examples), metric.higher_is_better, metric.percent)
    true, predicted = [task.truth(example) for example in examples], [answer.value for answer in answers]
    for own in own_metrics:
        found[own.name] = own.score(true, predicted, resamples=resamples, seed=seed)
    return Scores(task.primary.name, found, grades)


def affordable(resamples: int, rows: int) -> int:
    """Return how many resamples of so many rows are drawn."""
    return max(100, min(resamples, _ROWS // rows))


def take(grades: Grades, rows: np.ndarray) -> Grades:
    """Return the rows with the given numbers."""
    return {name: column[rows] for name, column in grades.items()}
