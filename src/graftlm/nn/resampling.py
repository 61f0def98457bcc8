"""Resampling of rows: stratified folds and parts, bootstrap rows, percentile intervals. Plain arrays, seeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def stratified_folds(target: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    """Return the fold number (N,) in [0, folds) of each row, each class spread evenly over the folds.

    Classes with fewer rows than folds stand in some folds only; fold sizes differ by one row at most.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(target))
    order = order[np.argsort(target[order], kind="stable")]
    number = np.empty(len(target), dtype=np.int64)
    number[order] = np.arange(len(target)) % folds
    return number


def stratified_part(target: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    """Return the sorted numbers of about `size` rows, every class in proportion and with one row at least."""
    if size >= len(target):
        return np.arange(len(target))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(target))
    order = order[np.argsort(target[order], kind="stable")]
    ordered = target[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    even = np.linspace(0, len(target), num=size, endpoint=False).astype(np.int64)
    return np.sort(order[np.union1d(first, even)])


def bootstrap_rows(size: int, resamples: int, *, seed: int) -> Iterator[np.ndarray]:
    """Yield `resamples` arrays (N,) of row numbers drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield rng.integers(0, size, size)


def percentile_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrap values (Efron & Tibshirani 1993, section 13.3)."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1 - tail])
    return float(low), float(high)
