"""Figures as text: one way for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

_FIELD = {"rmse": "RMSE", "mae": "MAE", "map": "mAP", "spearman": "Spearman", "pearson": "Pearson"}


def finite(value: Any) -> TypeGuard[int | float]:
    """Tell whether a value is a number that can be shown and drawn; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float | None, percent: bool) -> str:
    """Return 93.1 for a share in percent, 0.277 for anything else, a dash where there is nothing."""
    if not finite(value):
        return "–"
    if percent:
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def interval(score: Mapping[str, Any], *, percent: bool | None = None) -> str:
    """Return "[92.2, 94.0]", or nothing where there is no interval."""
    shown = bool(score.get("percent")) if percent is None else percent
    if not (finite(score.get("low")) and finite(score.get("high"))):
        return ""
    return f"[{number(score['low'], shown)}, {number(score['high'], shown)}]"


def with_interval(score: Mapping[str, Any], *, sign: bool = False) -> str:
    """Return "93.1 [92.2, 94.0]" (with `sign` "93.1 % [92.2, 94.0]"), the value alone where there is no interval."""
    percent = bool(score.get("percent"))
    value = number(score.get("value"), percent) + (" %" if sign and percent else "")
    return f"{value} {interval(score)}".rstrip()


def signed(gap: Mapping[str, Any], percent: bool) -> str:
    """Return a difference with its interval: "+0.4 points [-0.1, +0.9]", without a unit where it is no share."""

    def shown(value: Any) -> str:
        if not finite(value):
            return "–"
        return f"{100 * value:+.1f}" if percent else f"{value:+.3f}"

    return f"{shown(gap.get('gain'))}{' points' if percent else ''} [{shown(gap.get('low'))}, {shown(gap.get('high'))}]"


def title(name: str, score: Mapping[str, Any] | None = None) -> str:
    """Return a metric's name for people, with its unit: "accuracy %", "macro F1 %", "log loss", "MCC"."""
    words = [
        _FIELD.get(word, word.upper() if len(word) < 4 and not set(word) & set("aeiou") else word)
        for word in name.split("_")
    ]
    return " ".join(words) + (" %" if score and score.get("percent") else "")


def duration(seconds: float) -> str:
    """Return 0.8 s, 42 s, 3 min 20 s or 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def contenders(metrics: Mapping[str, Any], split: str) -> dict[str, Mapping[str, Any]]:
    """Return the figures of a split by contender: the model first, then baselines from best to worst.

    A baseline that cannot give the primary metric comes last.
    """
    primary = metrics["primary"]["name"]
    mine = mapping(mapping(metrics.get("metrics")).get(split))
    baselines = {name: mapping(by_split) for name, by_split in mapping(metrics.get("baselines")).items()}
    found = {name: mapping(by_split[split]) for name, by_split in baselines.items() if by_split.get(split)}
    up = bool(mapping(mine.get(primary)).get("higher_is_better", True))

    def worth(name: str) -> float:
        value = mapping(found[name].get(primary)).get("value")
        return (value if up else -value) if finite(value) else -math.inf

    return {"this model": mine, **{name: found[name] for name in sorted(found, key=worth, reverse=True)}}


def sequence(value: Any) -> list[Any]:
    """Return a list as it is, nothing for anything else: pages take what is not there, or odd, as empty."""
    return list(value) if isinstance(value, list | tuple) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
