"""Figures of ranked lists: plain arrays, one list at a time or many targets at once."""

from __future__ import annotations

import numpy as np


def ranks(queries: np.ndarray, answers: np.ndarray, right: np.ndarray, chunk: int = 1024) -> np.ndarray:
    """Return the rank (N,) from 1 of the right row of `answers` (M, H) for each of `queries` (N, H), by inner product.

    Rows of the same vector stand on the same rank. Both may be sparse matrices.
    """
    found = np.empty(queries.shape[0], dtype=np.float64)
    for start in range(0, queries.shape[0], chunk):
        part = queries[start : start + chunk] @ answers.T
        scores = np.asarray(part.todense() if hasattr(part, "todense") else part)
        own = scores[np.arange(len(scores)), right[start : start + chunk]]
        found[start : start + chunk] = 1 + (scores > own[:, None] + 1e-6).sum(axis=1)
    return found


def ndcg(relevance: np.ndarray, ideal: np.ndarray, k: int) -> float:
    """Return nDCG@k of relevances in ranked order (N,), gain 2^rel - 1 (Burges et al. 2005, section 5).

    `ideal` are all relevances that there are, in any order; 0 where none of them is positive.
    """
    best = _gain(-np.sort(-ideal)[:k])
    return _gain(relevance[:k]) / best if best > 0 else 0.0


def _gain(relevance: np.ndarray) -> float:
    return float(((2.0**relevance - 1) / np.log2(np.arange(2, len(relevance) + 2))).sum())


def reciprocal(relevance: np.ndarray) -> float:
    """Return one over the rank of the first relevant item, 0 where there is none."""
    hits = np.flatnonzero(relevance > 0)
    return 1.0 / (hits[0] + 1) if len(hits) else 0.0


def recall(relevance: np.ndarray, total: int, k: int) -> float:
    """Return the share of `total` relevant items that stand among the first k."""
    return float((relevance[:k] > 0).sum() / total) if total else 0.0


def average_precision(relevance: np.ndarray, total: int) -> float:
    """Return the mean of the precision at each relevant item; items that are missing from the list count as 0."""
    hits = relevance > 0
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].sum() / total) if total else 0.0
