"""The rows that a model gets most confidently wrong: hard ones, and ones with a wrong label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graftlm.contracts.task import Task
from graftlm.contracts.values import Answer, Example, Grades

_LONGEST = 600  # characters of a text that are kept


def confidently_wrong(
    task: Task, answers: Sequence[Answer], examples: Sequence[Example], grades: Grades, *, most: int = 50
) -> list[dict[str, Any]]:
    """Return the wrong rows of highest confidence as JSON values: id, where, text, true, predicted, probability.

    Empty where no metric of the task tells right rows from wrong ones.
    """
    hits = next((metric.hits for metric in task.metrics if metric.hits is not None), None)
    if hits is None:
        return []
    confidence = np.array([-1.0 if answer.confidence is None else answer.confidence for answer in answers])
    wrong = np.flatnonzero(~hits(grades))
    found = []
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")][:most].tolist():
        example, answer = examples[row], answers[row]
        text = task.reads(example)
        found.append(
            {
                "id": example.id,
                "where": example.where,
                "text": text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…",
                "true": task.truth(example),
                "predicted": answer.value,
                "probability": answer.confidence,
            }
        )
    return found
