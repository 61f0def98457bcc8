"""Figures as text: one way for terminal and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, percent: bool) -> str:
    """Return 93.1 for a share in percent, 0.277 for anything else, a dash where there is nothing."""
    if value is None:
        return "–"
    if percent:
        return f"{100 * value:.1f}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def with_interval(score: Mapping[str, Any], *, sign: bool = False) -> str:
    """Return "93.1 [92.2, 94.0]" (with `sign` "93.1 % [92.2, 94.0]"), the value alone where there is no interval."""
    percent = bool(score.get("percent"))
    value = number(score["value"], percent) + (" %" if sign and percent else "")
    if score.get("low") is None:
        return value
    return f"{value} [{number(score['low'], percent)}, {number(score['high'], percent)}]"


def title(name: str, score: Mapping[str, Any] | None = None) -> str:
    """Return a metric's name for people, with its unit: "accuracy %", "macro F1 %", "log loss", "MCC"."""
    words = [word.upper() if len(word) < 4 and not set(word) & set("aeiou") else word for word in name.split("_")]
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
    """Return the figures of a split by contender: the model first, then baselines from best to worst."""
    primary = metrics["primary"]["name"]
    found = {name: by_split[split] for name, by_split in metrics["baselines"].items() if split in by_split}
    up = bool(metrics["metrics"][split][primary].get("higher_is_better", True))
    order = sorted(found, key=lambda name: found[name][primary]["value"], reverse=up)
    return {"this model": metrics["metrics"][split], **{name: found[name] for name in order}}
