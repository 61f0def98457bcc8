"""What the report shows: values gathered from a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graftlm.contracts.backbone import Card
from graftlm.recipe import Recipe


def report_values(
    title: str,
    recipe: Recipe,
    metrics: Mapping[str, Any],
    checked: Any,
    history: Sequence[Mapping[str, Any]],
    card: Card,
    *,
    details: Mapping[str, Any],
    wrong: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the page shows; `checked` is the checked data set with its findings."""
    return {
        "title": title,
        "metrics": metrics,
        "findings": [finding.as_json() for finding in checked.findings],
        "progress": list(history),
        "details": details,
        "wrong": wrong,
        "data": {name: len(rows) for name, rows in checked.dataset.splits.items()},
        "recipe": recipe.as_yaml(),
        "lineage": {
            "base": card.hub_id or card.name,
            "licence of the base": card.licence,
            **{f"{name} rows": mark[:16] for name, mark in checked.dataset.fingerprints().items()},
        },
    }
