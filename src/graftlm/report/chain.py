"""The matrix of a plan: what each task's figure is after each run, as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graftlm.report import words
from graftlm.report.rendering import render
from graftlm.report.words import say


def page(
    title: str,
    matrix: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, Mapping[str, Any]],
    summary: Mapping[str, Any],
    language: str = "en",
) -> str:
    """Return the page; `matrix[t][i]` is the figure of run i's task after run t, every text in it is escaped.

    `language` is what it opens in, "en" or "zh"; both are in it.
    """
    names = list(matrix)
    primary = {name: metrics[name].get("primary") or {} for name in names}
    rows = [
        {
            "name": after,
            "cells": [
                {**_cell(matrix[after][name], matrix[name].get(name), primary[name]), "own": name == after}
                if name in matrix[after]
                else None
                for name in names
            ],
        }
        for after in names
    ]
    told = [{"name": name, "metric": words.metric(primary[name]["name"]) if primary[name] else "–"} for name in names]
    said = []
    if summary:
        back, lost = summary["backward_transfer"], summary["forgetting"]
        said = [say("chain_summary", back=f"{100 * back:+.1f}", lost=f"{100 * lost:.1f}")]
        if (ahead := summary.get("forward_transfer")) is not None:
            said.append(say("chain_forward", ahead=f"{100 * ahead:+.1f}"))
    return render("chain.html.j2", language=language, title=title, tasks=told, rows=rows, summary=said)


def _cell(value: float, own: float | None, primary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cell shows: the figure, its change since the task's own run, and how strong its colour is."""
    change = 0.0 if own is None else value - own
    percent = bool(primary.get("percent"))
    shown = f"{100 * value:.1f}" if percent else f"{value:.3f}"
    moved = "" if own is None or not change else f"{100 * change:+.1f}" if percent else f"{change:+.3f}"
    return {"value": shown, "change": moved, "heat": min(60, round(abs(change) * 300)), "lower": change < 0}
