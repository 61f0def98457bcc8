"""The order of the data: a function of seed, epoch and lengths alone."""

from __future__ import annotations

import numpy as np

WINDOW = 100
"""Batches in one shuffled window that is sorted by length: large enough for almost no padding, small
enough that batches of one length differ from epoch to epoch."""


def batches(
    lengths: np.ndarray,
    size: int,
    rng: np.random.Generator,
    *,
    bucket: bool = True,
    together: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Return one epoch's batches of row numbers, each row exactly once.

    `together` (N,), not falling, gives the number of the set that each row belongs to: a set is never divided, its
    rows stay in their order, and a batch has `size` sets.

    With `bucket`, rows are shuffled, cut into windows of 100 batches, sorted by length inside each
    window and cut into batches, whose order is shuffled again; the batch with the longest rows comes
    first, so that memory runs out at once if it does at all.
    """
    if together is not None:
        starts = np.flatnonzero(np.diff(together, prepend=-1))
        edges = np.append(starts, len(lengths))
        longest_of = np.maximum.reduceat(lengths, starts) if len(starts) else lengths
        return [
            np.concatenate([np.arange(edges[i], edges[i + 1]) for i in chosen])
            for chosen in batches(longest_of, size, rng, bucket=bucket)
        ]
    order = rng.permutation(len(lengths))
    if not bucket:
        return [order[i : i + size] for i in range(0, len(order), size)]
    cut: list[np.ndarray] = []
    for start in range(0, len(order), size * WINDOW):
        window = order[start : start + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        cut += [window[i : i + size] for i in range(0, len(window), size)]
    order = rng.permutation(len(cut))
    longest = max(range(len(cut)), key=lambda i: int(lengths[cut[i]].max()), default=0)
    shuffled = [longest, *(int(i) for i in order if i != longest)] if cut else []
    return [cut[i] for i in shuffled]


def padding_share(lengths: np.ndarray, plan: list[np.ndarray]) -> float:
    """Return the share of padded positions when each batch is padded to its longest row."""
    real = int(lengths.sum())
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in plan)
    return 1 - real / padded if padded else 0.0
