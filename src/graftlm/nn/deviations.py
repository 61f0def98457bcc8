"""How far numbers lie from the truth (N,), and how they go along with it."""

from __future__ import annotations

import numpy as np


def rmse(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(true - predicted))))


def mae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean absolute error."""
    return float(np.mean(np.abs(true - predicted)))


def r2(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of the truth's variance that is told, as scikit-learn's; 0 where it has none, 1 if hit."""
    error, spread = np.square(true - predicted).sum(), np.square(true - true.mean()).sum()
    return float(1 - error / spread) if spread > 0 else float(error == 0)


def pearson(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the linear correlation; 0 where one side is constant."""
    one, two = true - true.mean(), predicted - predicted.mean()
    spread = np.sqrt(np.square(one).sum() * np.square(two).sum())
    small = 1e-13 * max(np.abs(true).max(), 1e-300) * max(np.abs(predicted).max(), 1e-300) * len(true)
    return float(one @ two / spread) if spread > small else 0.0


def spearman(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the correlation of ranks, equal numbers sharing their mean rank; 0 where one side is constant."""
    from scipy.stats import rankdata

    return pearson(rankdata(true), rankdata(predicted))
