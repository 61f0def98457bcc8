"""Figures of sets of labels, from grades `true` and `predicted` (N, L), `unseen` (N,) and `rank` (N, L)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graftlm.contracts.task import Metric
from graftlm.contracts.values import Grades


def f1_of(right: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Return F1 of each label from its right answers and the sum of its truths and answers; 0 where there are none."""
    return np.asarray(2 * right / np.maximum(both, 1))


def _counts(grades: Grades) -> tuple[np.ndarray, np.ndarray]:
    """Return right answers, and truths plus answers, of each label, labels never seen in training as the last one."""
    true, predicted = grades["true"], grades["predicted"]
    strange = int(grades["unseen"].sum())
    right = np.append((true & predicted).sum(axis=0), 0)
    return right, np.append(true.sum(axis=0) + predicted.sum(axis=0), strange)


def macro_f1(grades: Grades) -> float:
    """Return the mean of F1 over the labels that occur in truths or answers; 1 where none does."""
    right, both = _counts(grades)
    return float(np.mean(f1_of(right, both)[both > 0])) if both.any() else 1.0


def micro_f1(grades: Grades) -> float:
    """Return F1 of the counts summed over labels; 1 where none occurs."""
    right, both = (counts.sum() for counts in _counts(grades))
    return float(2 * right / both) if both else 1.0


def mean_average_precision(grades: Grades) -> float:
    """Return the mean of average precision over the labels that have rows; NaN where answers carry no scores."""
    from graftlm.nn.thresholds import average_precision

    if "rank" not in grades or not grades["true"].any():
        return float("nan")
    return float(np.nanmean(average_precision(grades["rank"], grades["true"])))


def _hits(grades: Grades) -> np.ndarray:
    return np.asarray((grades["true"] == grades["predicted"]).all(axis=1) & ~grades["unseen"])


def subset_accuracy(grades: Grades) -> float:
    """Return the share of rows whose labels are all right, and no more."""
    return float(np.mean(_hits(grades)))


METRICS = (
    Metric("macro_f1", macro_f1, about="mean F1 over labels, each label weighing the same", percent=True),
    Metric("micro_f1", micro_f1, about="F1 of all labels' counts together", percent=True),
    Metric("map", mean_average_precision, about="mean average precision: no threshold is part of it", percent=True),
    Metric("subset_accuracy", subset_accuracy, about="share of rows all right", percent=True, hits=_hits),
)


def levels(grades: Grades, labels: Sequence[str], separator: str) -> dict[str, Any] | None:
    """Return a table of figures at each level of labels such as a/b/c, cut there; None where there is one."""
    parts = [label.split(separator) for label in labels]
    deepest = max(map(len, parts))
    if deepest == 1 or len({part[0] for part in parts}) == len(parts):
        return None
    rows = []
    for depth in range(1, deepest + 1):
        names = sorted({separator.join(part[:depth]) for part in parts if len(part) >= depth})
        belongs = np.zeros((len(parts), len(names)), bool)
        for number, part in enumerate(parts):
            if len(part) >= depth:
                belongs[number, names.index(separator.join(part[:depth]))] = True
        cut = {name: grades[name] @ belongs for name in ("true", "predicted")} | {"unseen": grades["unseen"]}
        figures = [round(100 * figure(cut), 2) for figure in (micro_f1, macro_f1, subset_accuracy)]
        rows.append([depth, len(names), *figures])
    return {
        "title": "Levels",
        "columns": ["level", "labels", "micro F1 %", "macro F1 %", "all right %"],
        "rows": rows,
        "about": f"Labels cut at each '{separator}'; a label of fewer levels counts on its own levels alone.",
    }
