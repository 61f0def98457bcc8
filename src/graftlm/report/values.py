"""What the report shows: values gathered from a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from graftlm.contracts.backbone import Card
from graftlm.contracts.rows import Rows
from graftlm.recipe import Recipe
from graftlm.report import words

_SAMPLE = 200  # texts that tell the language of the data


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
        "language": words.choose(recipe.evaluate.language, _texts(checked.dataset.train, recipe)),
        "metrics": metrics,
        "findings": [finding.as_json() for finding in checked.findings],
        "progress": list(history),
        "details": details,
        "wrong": wrong,
        "data": {name: len(rows) for name, rows in checked.dataset.splits.items()},
        "recipe": recipe.as_yaml(),
        "changed": recipe.changed(),
        "lineage": {
            "base": card.hub_id or card.name,
            "licence of the base": card.licence,
            **{f"{name} rows": mark[:16] for name, mark in checked.dataset.fingerprints().items()},
        },
    }


def joint_values(
    title: str,
    recipe: Recipe,
    metrics: Mapping[str, Any],
    checked: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    card: Card,
) -> dict[str, Any]:
    """Return what the page of several tasks shows; each task's tables and rows are on its own page."""
    texts = [
        text
        for name, one in checked.items()
        for text in _texts(one.dataset.train, recipe.model_copy(update={"task": recipe.tasks[name].task}))
    ]
    return {
        "title": title,
        "language": words.choose(recipe.evaluate.language, texts),
        "metrics": metrics,
        "pages": {name: f"tasks/{quote(name)}/report.html" for name in checked},
        "findings": [
            {**finding.as_json(), "message": f"{name}: {finding.message}"}
            for name, one in checked.items()
            for finding in one.findings
        ],
        "progress": list(history),
        "data": {
            name: {split: len(rows) for split, rows in one.dataset.splits.items()} for name, one in checked.items()
        },
        "recipe": recipe.as_yaml(),
        "changed": recipe.changed(),
        "lineage": {"base": card.hub_id or card.name, "licence of the base": card.licence},
    }


def _texts(rows: Rows, recipe: Recipe) -> list[str]:
    """Return some texts of the training rows."""
    roles = [role.name for role in recipe.task.roles if role.kind == "text" and rows.has(role.name)]
    few = rows.take(range(0, len(rows), max(1, len(rows) // _SAMPLE)))
    return [str(value) for role in roles[:1] for value in few.column(role) if value]
