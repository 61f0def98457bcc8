"""Truths that no training row has, in validation and test rows that were given: stopped at, left out or kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graftlm.contracts.dataset import Dataset
from graftlm.contracts.reader import BadRows
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Finding
from graftlm.core.errors import listing

_NAMED = 10  # places that a finding names


def settle(dataset: Dataset, task: Task, policy: BadRows) -> Dataset:
    """Apply the policy for bad rows to rows whose truth the model cannot learn to give.

    "stop" adds an error, "skip" takes the rows out and names each in the facts, "keep" leaves them: they count as
    wrong. Rows that were cut off the training rows stay in any case: nobody wrote them down wrongly.
    """
    splits, facts, findings = dict(dataset.splits), dataset.facts, list(dataset.findings)
    for name, rows in dataset.splits.items():
        given = facts.get("splits", {}).get(name, {}).get("from") == name
        numbers = task.unknown(rows, splits["train"]) if name != "train" and given and policy != "keep" else ()
        if not len(numbers):
            continue
        places = tuple(rows.where(row) for row in numbers[:_NAMED])
        labels = sorted({str(value) for value in rows.take(list(numbers)).column(str(rows.target))})
        told = f"{len(numbers):,} of {len(rows):,} rows of {name} have a truth that no training row has"
        if policy == "stop":
            message = (
                f"{told}: {listing(labels, 5)}. Correct them, or set data.bad_rows to 'skip' (leave them out and count "
                "them) or 'keep' (judge them: they count as wrong)."
            )
            findings.append(Finding("error", "unknown_truth", message, len(numbers), places))
        else:
            splits[name], facts = _without(rows, numbers, facts)
            message = f"{told} ({listing(labels, 5)}); they were left out."
            findings.append(Finding("warning", "unknown_truth", message, len(numbers), places))
    return replace(dataset, splits=splits, facts=facts, findings=tuple(findings))


def _without(rows: Rows, numbers: Sequence[int], facts: Any) -> tuple[Rows, dict[str, Any]]:
    """Return the rows without some, and the facts with those named among the skipped."""
    name, lost = rows.name, len(numbers)
    gone = [
        {"where": rows.where(row), "reason": f"no training row has the truth {value!r}", "done": "skipped"}
        for row, value in zip(numbers, rows.take(list(numbers)).column(str(rows.target)), strict=True)
    ]
    source, split = facts["sources"][name], facts["splits"][name]
    counts = {"kept": source["kept"] - lost, "skipped": source["skipped"] + lost, "faults": [*source["faults"], *gone]}
    keep = np.setdiff1d(np.arange(len(rows)), np.asarray(numbers)).tolist()
    return rows.take(keep), {
        **facts,
        "sources": {**facts["sources"], name: {**source, **counts}},
        "splits": {**facts["splits"], name: {**split, "rows": split["rows"] - lost}},
    }
