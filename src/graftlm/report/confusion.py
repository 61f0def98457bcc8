"""The confusion matrix of a page: cells, an order in which classes that are mistaken for each other stand together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report.figures import finite, sequence

DRAWN = 160
"""Classes that are drawn at most, those with the most mistakes; more cannot be told apart."""
_NAMED, _COUNTED = 120, 14  # classes up to which names fit beside rows, and numbers into cells
_CELLS = 12_000
_NAME = 26  # characters of a class's name beside its row


def confusion(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the matrix as cells [true, predicted, count, share of the true class's rows]; None without one.

    True and predicted are positions in `labels`, which stand in the order of the data; `order` has them by likeness.
    """
    labels = [str(label) for label in sequence(details.get("labels"))]
    cells = [
        (int(cell[0]), int(cell[1]), cell[2])
        for cell in map(sequence, sequence(details.get("confusion")))
        if len(cell) == 3 and all(map(finite, cell)) and 0 <= cell[0] < len(labels) and 0 <= cell[1] < len(labels)
    ]
    if not labels or not cells:
        return None
    totals: dict[int, float] = {}
    for true, _, count in cells:
        totals[true] = totals.get(true, 0) + count
    largest = sorted(cells, key=lambda cell: -cell[2])
    mistakes = [
        {"true": labels[true], "predicted": labels[predicted], "count": count, "of": totals[true]}
        for true, predicted, count in largest
        if true != predicted
    ]
    kept = _drawn(len(labels), largest)
    place = {label: number for number, label in enumerate(kept)}
    inside = [(place[t], place[p], count, totals[t]) for t, p, count in largest if t in place and p in place]
    shown = [[t, p, count, round(count / max(total, 1e-9), 4)] for t, p, count, total in inside[:_CELLS]]
    size = len(kept)
    ordered = order(size, [(t, p, count) for t, p, count, _ in inside])
    return {
        "labels": [labels[number] for number in kept],
        "short": [_cut(labels[number]) for number in kept],
        "order": ordered,
        "places": [ordered.index(number) for number in range(size)],
        "cells": shown,
        "side": 11 if size > 50 else max(13, min(56, 620 // size)),
        "counted": size <= _COUNTED,
        "named": size <= _NAMED,
        "mistakes": mistakes[:20],
        "all": len(labels),
    }


def order(size: int, cells: Sequence[tuple[int, int, float]]) -> list[int]:
    """Return positions so that classes that are mistaken for each other stand side by side.

    Average-linkage clustering with the optimal order of leaves (Bar-Joseph et al. 2001), where the likeness of two
    classes is their mutual mistakes as a share of the smaller one's rows. Classes without mistakes come last.
    """
    if size < 3:
        return list(range(size))
    import numpy as np
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    counts = np.zeros((size, size))
    for true, predicted, count in cells:
        counts[true, predicted] = count
    rows = np.maximum(counts.sum(axis=1), 1)
    mistakes = counts - np.diag(np.diag(counts))
    likeness = (mistakes + mistakes.T) / np.minimum.outer(rows, rows)
    distance = 1 - likeness / max(float(likeness.max()), 1e-9)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    found = [int(number) for number in leaves_list(tree)]
    clean = {n for n in range(size) if not mistakes[n].any() and not mistakes[:, n].any()}
    return [n for n in found if n not in clean] + sorted(clean)


def _drawn(size: int, cells: Sequence[tuple[int, int, float]]) -> list[int]:
    """Return the classes that are drawn, in their own order."""
    if size <= DRAWN:
        return list(range(size))
    missed = [0.0] * size
    for true, predicted, count in cells:
        if true != predicted:
            missed[true] += count
            missed[predicted] += count
    worst = sorted(range(size), key=lambda number: (-missed[number], number))[:DRAWN]
    return sorted(worst)


def _cut(label: str) -> str:
    return label if len(label) <= _NAME else f"{label[: _NAME - 1]}…"
