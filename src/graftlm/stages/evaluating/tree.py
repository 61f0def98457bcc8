"""The tree that metrics.json holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graftlm.contracts.task import Task
from graftlm.contracts.verdict import Scores, Verdict


def metrics_json(
    task: Task,
    scores: Mapping[str, Scores],
    baselines: Mapping[str, Mapping[str, Scores]],
    verdict: Verdict | None,
    *,
    timing: Mapping[str, Any],
    device: str,
    precision: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the tree of metrics.json; `scores` by split, `baselines` by name and split.

    The primary figure is that of the test split where there is one, else of the validation split.
    """
    split = next((name for name in ("test", "valid") if name in scores), next(iter(scores)))
    headline = scores[split]
    primary = {"name": headline.primary, "split": split, **headline.headline.as_json()}
    return {
        "task": task.name(),
        "primary": primary,
        "metrics": {name: one.as_json() for name, one in scores.items()},
        "baselines": {
            name: {split: one.as_json() for split, one in by_split.items()} for name, by_split in baselines.items()
        },
        "transfer": verdict.as_json() if verdict else None,
        "timing": dict(timing),
        "device": device,
        "precision": precision,
        "versions": dict(versions),
    }
