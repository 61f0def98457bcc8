"""Answers as JSON lines: what `graft predict` prints, and what a run keeps of each split to be paired with others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.values import Answer, Example, Grades
from graftlm.core import files, hashing
from graftlm.core.errors import DataError

if TYPE_CHECKING:
    from graftlm.contracts.task import Task


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a run answered to the rows of a split: their ids, a mark of their content, and the grades (N,)."""

    path: Path
    ids: tuple[str, ...]
    rows: tuple[str, ...]
    grades: Grades


def as_line(example: Example, answer: Answer, *, detail: bool = False) -> dict[str, Any]:
    """Return the answer to one row as it is printed: id, then what the task makes public, then its details."""
    line = {"id": example.id, **answer.public}
    return {**line, **answer.detail} if detail else line


def mark(example: Example) -> str:
    """Return 16 hex digits that name the content of a row, its truth included."""
    return hashing.of_value([dict(example.fields), str(example.target)])[:16]


def write_predictions(
    path: Path, task: Task, examples: Sequence[Example], answers: Sequence[Answer], grades: Grades
) -> None:
    """Write one line a row, atomically: the answer, the truth, the grades, and a mark of the row's content."""
    columns = {name: [None if x != x else x for x in column.tolist()] for name, column in grades.items()}
    with files.writing(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
        for number, (example, answer) in enumerate(zip(examples, answers, strict=True)):
            line = {
                **as_line(example, answer),
                "truth": task.truth(example),
                "where": example.where,
                "row": mark(example),
                "grades": {name: column[number] for name, column in columns.items()},
            }
            handle.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        DataError: the file is not there, or a line of it is damaged.
    """
    import numpy as np

    ids: list[str] = []
    rows: list[str] = []
    grades: dict[str, list[Any]] = {}
    try:
        handle = path.open(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{path}: expected the answers of a finished run; there is no such file.") from None
    with handle:
        for number, text in enumerate(handle, 1):
            try:
                line = json.loads(text)
                ids.append(str(line["id"]))
                rows.append(str(line["row"]))
                if number > 1 and line["grades"].keys() != grades.keys():
                    raise ValueError("other grades than the line before")
                for name, value in line["grades"].items():
                    grades.setdefault(name, []).append(value)
            except (ValueError, KeyError, TypeError, AttributeError) as fault:
                raise DataError(
                    f"{path}:{number}: expected an answer with id, row and grades; got something else ({fault}). "
                    "Run the fit again."
                ) from None
    if not ids:
        raise DataError(f"{path}: expected one answer a line; the file is empty.")
    arrays = {name: np.array([np.nan if x is None else x for x in column]) for name, column in grades.items()}
    return Predictions(path, tuple(ids), tuple(rows), arrays)


def read_lines(path: Path, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Return the lines with the given numbers (None: all) of what `write_predictions` wrote, in the order asked for."""
    wanted = None if numbers is None else set(numbers)
    with path.open(encoding="utf-8") as handle:
        found = {n: json.loads(text) for n, text in enumerate(handle) if wanted is None or n in wanted}
    return [found[n] for n in (found if numbers is None else numbers)]
