"""Thresholds and average precision of many yes-or-no answers at once. Legend: N rows, L labels."""

from __future__ import annotations

import numpy as np

SHRINK = 20.0
"""Positive rows that the common threshold weighs as much as: a label with few of its own stays near it."""


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each score (N, L) within its label, 0 for the highest, equal scores sharing one."""
    found = np.empty(scores.shape, np.uint16 if len(scores) < 1 << 16 else np.uint32)
    for label in range(scores.shape[1]):
        _, inverse = np.unique(-scores[:, label], return_inverse=True)
        found[:, label] = inverse
    return found


def average_precision(order: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the average precision of each label (L,): the mean over its rows of the precision down to their rank.

    `order` (N, L) are ranks as `ranks` gives them, of these rows or of more; rows of one rank are taken together, as
    scikit-learn does. NaN for a label without any row.
    """
    labels = truth.shape[1]
    size = int(order.max(initial=0)) + 1
    flat = order.astype(np.int64) + np.arange(labels) * size
    above = np.bincount(flat.ravel(), minlength=labels * size).reshape(labels, size).cumsum(axis=1).ravel()
    rows = flat[truth]
    right = np.bincount(rows, minlength=labels * size).reshape(labels, size).cumsum(axis=1).ravel()
    sums = np.bincount(rows // size, weights=right[rows] / above[rows], minlength=labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / truth.sum(axis=0))


def f1_thresholds(scores: np.ndarray, truth: np.ndarray, *, shrink: float = SHRINK) -> np.ndarray:
    """Return for each label the score (L,) from which on it is answered, as F1 on these rows wants it.

    The threshold that is best for a label alone is drawn to the one that is best for all labels together, the more
    so the fewer rows have the label: with n of them it counts n / (n + `shrink`). Scores are logits, so that the mean
    of two thresholds is as far from both.
    """
    common = _common(scores, truth)
    found = np.full(scores.shape[1], common)
    for label in range(scores.shape[1]):
        count = int(truth[:, label].sum())
        if count:
            own = _best(scores[:, label], truth[:, label])
            found[label] = (count * own + shrink * common) / (count + shrink)
    return found


def _best(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold of largest F1, in the middle between two neighbouring scores."""
    order = np.argsort(-scores, kind="stable")
    ordered, right = scores[order], np.cumsum(truth[order])
    f1 = 2 * right / (np.arange(1, len(ordered) + 1) + right[-1])
    f1[:-1][ordered[:-1] == ordered[1:]] = -1.0  # a threshold cannot part equal scores
    best = int(np.argmax(f1))
    below = ordered[best + 1] if best + 1 < len(ordered) else ordered[best] - 1.0
    return float((ordered[best] + below) / 2)


def _common(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the one threshold of largest mean F1 over the labels that have rows."""
    has = truth.any(axis=0)
    if not has.any():
        return 0.0
    grid = np.linspace(-5.0, 3.0, 81)
    said = np.stack([(scores[:, has] >= threshold).sum(axis=0) for threshold in grid])
    right = np.stack([((scores[:, has] >= threshold) & truth[:, has]).sum(axis=0) for threshold in grid])
    f1 = (2 * right / np.maximum(said + truth[:, has].sum(axis=0), 1)).mean(axis=1)
    return float(grid[int(np.argmax(f1))])
