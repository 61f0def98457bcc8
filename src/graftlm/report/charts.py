"""Geometry of the report's charts: numbers and SVG paths from values, no markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report.figures import contenders, number, with_interval

WIDTH, HEIGHT = 640, 220
_POINTS = 400
_CELLS = 20_000
_NAMED = 24  # classes up to which axis labels fit
_COUNTED = 12  # classes up to which numbers fit into cells


def bars(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one bar for each contender in the primary metric: name, text, and left, width, low, high in percent."""
    name, split = metrics["primary"]["name"], metrics["primary"]["split"]
    scores = {who: found[name] for who, found in contenders(metrics, split).items() if name in found}
    percent = bool(metrics["primary"].get("percent"))
    ends = [abs(score[key]) for score in scores.values() for key in ("value", "high") if score.get(key) is not None]
    full = 1.0 if percent else max(ends, default=0.0) or 1.0

    def place(value: float) -> float:
        return round(100 * min(max(value / full, 0.0), 1.0), 2)

    return [
        {
            "name": who,
            "text": with_interval(score),
            "width": place(score["value"]),
            "low": None if score.get("low") is None else place(score["low"]),
            "high": None if score.get("high") is None else place(score["high"]),
        }
        for who, score in scores.items()
    ]


def curve(progress: Sequence[Mapping[str, Any]], percent: bool) -> dict[str, Any] | None:
    """Return the learning curve as SVG paths with axis ticks: loss on the left, score on the right; None if empty.

    `progress` holds step, loss and score (None between evaluations); values that are not finite are left out.
    """
    loss = [(one["step"], one["loss"]) for one in progress if _finite(one.get("loss"))]
    score = [(one["step"], one["score"]) for one in progress if _finite(one.get("score"))]
    if len(loss) < 2 and len(score) < 2:
        return None
    last = max(step for step, _ in [*loss, *score])
    first = min(0, *(step for step, _ in [*loss, *score]))
    loss_axis = _axis([value for _, value in loss], zero=True)
    score_axis = _axis([value for _, value in score], zero=False)

    def points(found: Sequence[tuple[float, float]], axis: Sequence[float]) -> list[tuple[float, float]]:
        stride = max(1, len(found) // _POINTS)
        kept = [*found[::stride], *found[-1:]]
        return [(_x(step, first, last), _y(value, axis)) for step, value in kept]

    dots = points(score, score_axis) if score else []
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "loss": _path(points(loss, loss_axis)) if loss else "",
        "score": _path(dots),
        "dots": [
            {"x": x, "y": y, "text": f"step {step}: {number(value, percent)}"}
            for (x, y), (step, value) in zip(dots, [*score[:: max(1, len(score) // _POINTS)], *score[-1:]], strict=True)
        ],
        "loss_ticks": [{"y": _y(value, loss_axis), "text": f"{value:.3g}"} for value in loss_axis] if loss else [],
        "score_ticks": [{"y": _y(v, score_axis), "text": number(v, percent)} for v in score_axis] if score else [],
        "step_ticks": [{"x": _x(value, first, last), "text": f"{value:g}"} for value in _axis([first, last], zero=True)
                       if value <= last],
    }  # fmt: skip


def confusion(details: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the confusion matrix as coloured cells and the most frequent mistakes; None without one.

    A cell is [true, predicted, count, share of the true class's rows].
    """
    labels, cells = details.get("labels") or [], details.get("confusion") or []
    if not labels or not cells:
        return None
    totals: dict[int, int] = {}
    for true, _, count in cells:
        totals[true] = totals.get(true, 0) + count
    largest = sorted(cells, key=lambda cell: -cell[2])
    shown = [[true, predicted, count, round(count / totals[true], 4)] for true, predicted, count in largest[:_CELLS]]
    mistakes = [
        {"true": labels[true], "predicted": labels[predicted], "count": count, "of": totals[true]}
        for true, predicted, count in largest
        if true != predicted
    ]
    return {
        "labels": labels,
        "cells": shown,
        "side": max(20, 480 // len(labels)),
        "counted": len(labels) <= _COUNTED,
        "named": len(labels) <= _NAMED,
        "mistakes": mistakes[:15],
        "hidden": len(cells) - len(shown),
    }


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _axis(values: Sequence[float], *, zero: bool) -> list[float]:
    """Return four to seven round ticks that enclose the values."""
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    if zero:
        low = min(low, 0.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        half = 0.5 * abs(high) if abs(high) > 1e-6 else 0.5
        low, high = low - half, high + half
    raw = (high - low) / 5
    unit = 10 ** math.floor(math.log10(raw))
    step = unit * next(size for size in (1, 2, 2.5, 5, 10) if size * unit >= raw * 0.999)
    start = math.floor(low / step + 1e-9)
    return [round(number * step, 12) for number in range(start, math.ceil(high / step - 1e-9) + 1)]


def _x(step: float, first: float, last: float) -> float:
    return round(WIDTH * (step - first) / max(last - first, 1e-9), 2)


def _y(value: float, axis: Sequence[float]) -> float:
    return round(HEIGHT * (1 - (value - axis[0]) / (axis[-1] - axis[0])), 2)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x},{y}" for x, y in points) if points else ""
