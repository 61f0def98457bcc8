"""The best sequence of tags, by logits and transitions."""

from __future__ import annotations

import numpy as np


def best_path(logits: np.ndarray, transitions: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the classes (N,) of the path of highest sum: logits (N, C), transitions (from, to) (C, C), start (C,).

    A transition or start of minus infinity is forbidden. Viterbi 1967; of equal paths, the one with lower numbers.
    """
    count = len(logits)
    if count == 0:
        return np.zeros(0, np.int64)
    score = logits[0] + start
    back = np.zeros((count, logits.shape[1]), np.int64)
    for step in range(1, count):
        through = score[:, None] + transitions
        back[step] = through.argmax(axis=0)
        score = through.max(axis=0) + logits[step]
    path = np.zeros(count, np.int64)
    path[-1] = score.argmax()
    for step in range(count - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path


def allowed(path: np.ndarray, transitions: np.ndarray, start: np.ndarray) -> bool:
    """Tell whether no step of a path (N,) is forbidden."""
    return len(path) == 0 or bool(np.isfinite(start[path[0]]) and np.isfinite(transitions[path[:-1], path[1:]]).all())


def bio_path(logits: np.ndarray) -> np.ndarray:
    """Return the best labels (N,) by logits (N, C) of those sequences in which I- follows B- or I- of its own type."""
    path: np.ndarray = logits.argmax(axis=1)
    start, transitions = bio_rules(logits.shape[1])
    return path if allowed(path, transitions, start) else best_path(logits, transitions, start)


def bio_rules(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return start (C,) and transitions (C, C) of BIO: 0 where allowed, minus infinity where not."""
    start, transitions = np.zeros(size), np.zeros((size, size))
    inner = np.arange(2, size, 2)  # labels are O, B-, I-, B-, I-, ...
    start[inner] = -np.inf
    transitions[:, inner] = -np.inf
    transitions[inner, inner] = transitions[inner - 1, inner] = 0.0
    return start, transitions
