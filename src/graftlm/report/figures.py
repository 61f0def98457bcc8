"""Figures as text: one way for terminal and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, percent: bool) -> str:
    """Return 93.1 for a share in percent, 0.2768 for anything else, a dash where there is nothing."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if percent else f"{value:.4g}"


def with_interval(score: Mapping[str, Any]) -> str:
    """Return "93.1 [92.2, 94.0]", or the value alone where there is no interval."""
    percent = bool(score.get("percent"))
    if score.get("low") is None:
        return number(score["value"], percent)
    return f"{number(score['value'], percent)} [{number(score['low'], percent)}, {number(score['high'], percent)}]"


def title(name: str, score: Mapping[str, Any] | None = None) -> str:
    """Return a metric's name for people, with its unit: "accuracy %", "log loss"."""
    return name.replace("_", " ") + (" %" if score and score.get("percent") else "")


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
