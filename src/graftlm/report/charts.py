"""Geometry of the pages' charts: numbers and SVG paths from values, no markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.report.figures import contenders, duration, finite, interval, mapping, number, sequence
from graftlm.report.words import Both, both, say, stage

WIDTH, HEIGHT = 480, 220
COLOURS = 8
"""Colours that the style sheet has for lines and segments; the ninth line has the first one's colour again."""
_POINTS, _DOTS, _ROWS, _LINES = 300, 60, 40, 24


def bars(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one bar for each contender in the primary metric: name, text, and left, width, low, high in percent."""
    name, split = metrics["primary"]["name"], metrics["primary"]["split"]
    scores = {who: found[name] for who, found in contenders(metrics, split).items() if mapping(found.get(name))}
    return bars_of(
        [(say("this_model") if place == 0 else both(who), score) for place, (who, score) in enumerate(scores.items())],
        percent=bool(metrics["primary"].get("percent")),
    )


def bars_of(scores: Sequence[tuple[Both, Mapping[str, Any]]], *, percent: bool) -> list[dict[str, Any]]:
    """Return one bar for each score, on one axis from 0 (or the smallest, where it is negative) to the largest.

    Shares, which are told in percent, are drawn on an axis to 100.
    """
    kept = [(who, score) for who, score in scores if finite(score.get("value"))]
    ends = [score[key] for _, score in kept for key in ("value", "low", "high") if finite(score.get(key))]
    low = min([0.0, *ends])
    high = max([1.0] if percent and max(ends, default=0.0) <= 1 else ends, default=1.0)
    span = (max(high, 0.0) - low) or 1.0

    def place(value: float) -> float:
        return round(100 * min(max((value - low) / span, 0.0), 1.0), 2)

    found = []
    for who, score in kept:
        ends_here = sorted((place(0.0), place(score["value"])))
        whisker = finite(score.get("low")) and finite(score.get("high"))
        found.append(
            {
                "name": who,
                "value": number(score["value"], percent),
                "interval": interval(score, percent=percent),
                "left": ends_here[0],
                "width": round(ends_here[1] - ends_here[0], 2),
                "low": place(score["low"]) if whisker else None,
                "high": place(score["high"]) if whisker else None,
            }
        )
    return found


def lines(
    series: Sequence[tuple[Any, Sequence[Any]]], *, x: Any, y: Any, percent: bool = False, zero: bool = False
) -> dict[str, Any] | None:
    """Return a chart of lines as SVG paths with axis ticks and the points as a table; None without two points.

    `series` holds a name and points [x, y] for each line; points that are not finite are left out, x may be words.
    """
    names: dict[str, int] = {}
    drawn = []
    for who, given in series[:_LINES]:
        points = []
        for point in map(sequence, sequence(given)):
            if len(point) < 2:
                continue
            place, value = point[0], point[1]
            if isinstance(place, str):
                place = names.setdefault(place, len(names))
            if finite(place) and finite(value):
                points.append((float(place), float(value)))
        if points:
            drawn.append((both(who), points))
    if sum(len(points) for _, points in drawn) < 2:
        return None
    xs, ys = [p[0] for _, points in drawn for p in points], [p[1] for _, points in drawn for p in points]
    first, last = (0.0 if 0 < min(xs) < 0.3 * max(xs) else min(xs)), max(xs)
    axis = _axis(ys, zero=zero)
    most = max(40, _POINTS // max(1, len(drawn) // 2))
    words = list(names)

    def at(value: float) -> str:
        return words[int(value)] if words and value.is_integer() and 0 <= value < len(words) else _short(value)

    found: list[dict[str, Any]] = []
    for place, (who, points) in enumerate(drawn):
        kept = _thinned(points, most)
        shown = [(_x(a, first, last), _y(b, axis), f"{at(a)}: {number(b, True) if percent else _short(b)}")
                 for a, b in kept]  # fmt: skip
        text = [_short(100 * b if percent else b) for _, b in (points[0], points[-1])]
        found.append(
            {
                "name": who,
                "colour": place % COLOURS,
                "path": "M" + "L".join(f"{a},{b}" for a, b, _ in shown),
                "points": [list(one) for one in shown],
                "dots": shown if len(shown) <= _DOTS else [],
                "summary": say("chart_line", name=who, n=len(points), first=text[0], last=text[1]),
                "rows": [(at(a), number(b, True) if percent else _short(b)) for a, b in _thinned(points, _ROWS)],
            }
        )
    step_ticks = range(len(words)) if words else _axis([first, last], zero=False)
    said = [one.pop("summary") for one in found]
    summary = Both("; ".join(one.en for one in said), "；".join(one.zh for one in said))
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "x": both(x),
        "y": both(y),
        "lines": found,
        "label": say("chart_summary", x=x, y=y, names=summary),
        "y_ticks": [{"y": _y(value, axis), "text": _short(100 * value if percent else value)} for value in axis],
        "x_ticks": [{"x": _x(value, first, last), "text": at(float(value))} for value in step_ticks
                    if first <= value <= last][:12],
    }  # fmt: skip


def learning(progress: Sequence[Mapping[str, Any]], metric: Any, percent: bool) -> list[dict[str, Any]]:
    """Return the charts of a run: training loss, and the validation metric where there was one.

    `progress` holds step, loss and score (None between evaluations).
    """
    loss = [(one.get("step"), one.get("loss")) for one in progress]
    score = [(one.get("step"), one.get("score")) for one in progress]
    name = say("training_loss")
    found = [
        lines([(name, loss)], x=say("step"), y=name, zero=True),
        lines([(metric, score)], x=say("step"), y=metric, percent=percent),
    ]
    return [one for one in found if one is not None]


def segments(seconds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return where the time went, in the order of the stages: name, share in percent, time in words, colour."""
    kept = {name: float(value) for name, value in seconds.items() if finite(value) and value > 0}
    total = sum(kept.values())
    return [
        {
            "name": stage(name),
            "seconds": value,
            "share": round(100 * value / total, 2),
            "time": duration(value),
            "colour": place % COLOURS,
        }
        for place, (name, value) in enumerate(kept.items())
    ]


def _short(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def _thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most some `most` of the points, evenly spaced, the last one among them."""
    stride = max(1, math.ceil(len(points) / most))
    kept = list(points[::stride])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


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
