"""Which sequences go through the model together: sorted by length, as many as fit into a number of tokens."""

from __future__ import annotations

import numpy as np


def plan(lengths: np.ndarray, batch_tokens: int, *, most: int = 1024) -> list[np.ndarray]:
    """Return batches of sequence numbers, longest first, each number once.

    A batch padded to its longest sequence has at most `batch_tokens` tokens (a single sequence may
    have more) and at most `most` sequences. Longest first: memory runs out at once if it does at all.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    cut: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(min(batch_tokens // longest, most), 1)
        cut.append(order[start : start + size])
        start += size
    return cut
