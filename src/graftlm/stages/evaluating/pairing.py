"""Paired differences between two sets of answers to the same rows."""

from __future__ import annotations

import numpy as np

from graftlm.contracts.task import Metric, Task
from graftlm.contracts.values import Grades
from graftlm.contracts.verdict import Difference
from graftlm.core import seeds
from graftlm.nn.resampling import bootstrap_rows, percentile_interval
from graftlm.stages.evaluating.scoring import affordable, take


def paired(task: Task, first: Grades, second: Grades, *, resamples: int, seed: int) -> Difference:
    """Return by how much the first grades are better than the second, on the same rows, in the primary metric.

    The interval is a paired bootstrap (the same rows drawn for both). The p-value is McNemar's exact
    one (binomial over the rows where just one is right) where the metric is a share of right answers,
    else that of an approximate randomisation test that swaps the two answers of random rows
    (Noreen 1989; p = (1 + extreme) / (1 + draws)) with 2,000 draws at least.

    Raises:
        ValueError: the grades are not of the same rows.
    """
    size = len(next(iter(first.values())))
    if first.keys() != second.keys() or any(len(second[name]) != size for name in second):
        raise ValueError("paired grades must have the same columns and rows")
    metric = task.primary
    gain = _gain(metric, first, second)
    count = affordable(resamples, size)
    draws = [
        _gain(metric, take(first, rows), take(second, rows))
        for rows in bootstrap_rows(size, count, seed=seeds.child(seed, "paired"))
    ]
    # a draw may lack the rows that the figure is about
    low, high = percentile_interval([draw for draw in draws if np.isfinite(draw)] or [gain])
    if metric.hits is not None:
        p_value, test = _mcnemar(metric.hits(first), metric.hits(second)), "McNemar, exact"
    else:
        p_value = _randomisation(metric, first, second, gain, affordable(max(2_000, resamples), size), seed)
        test = "approximate randomisation"
    return Difference(gain, low, high, p_value, size, test)


def _gain(metric: Metric, first: Grades, second: Grades) -> float:
    difference = metric.compute(first) - metric.compute(second)
    return difference if metric.higher_is_better else -difference


def _mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided exact p-value of McNemar 1947: rows where just one is right are coin flips."""
    from scipy.stats import binomtest

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second, 0.5).pvalue)


def _randomisation(metric: Metric, first: Grades, second: Grades, gain: float, draws: int, seed: int) -> float:
    rng = seeds.generator(seed, "randomisation")
    size = len(next(iter(first.values())))
    extreme = 0
    for _ in range(draws):
        swap = rng.random(size) < 0.5
        wide = {name: swap.reshape(size, *[1] * (column.ndim - 1)) for name, column in first.items()}
        one = {name: np.where(wide[name], second[name], first[name]) for name in first}
        two = {name: np.where(wide[name], first[name], second[name]) for name in first}
        extreme += abs(_gain(metric, one, two)) >= abs(gain) - 1e-12
    return (extreme + 1) / (draws + 1)
