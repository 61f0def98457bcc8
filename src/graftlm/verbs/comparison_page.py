"""What the page of a comparison shows, gathered from the folders of its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.core import files
from graftlm.core.errors import GraftError, UserError
from graftlm.prediction.lines import Predictions, mark, read_lines
from graftlm.recipe import Recipe, flat
from graftlm.report import comparison, words

if TYPE_CHECKING:
    from graftlm.contracts.rows import Rows
    from graftlm.verbs.comparing import Comparison

ROWS = 200
"""Rows of disagreement that a page shows."""


def write(found: Comparison, recipes: Sequence[Recipe], answers: Sequence[Predictions]) -> None:
    """Write the page of a comparison to `found.page`.

    Raises:
        UserError: it cannot be written there.
    """
    path = found.page
    if path is None:
        return
    folders = [Path(run) for run in found.runs]
    names = _names(folders)
    rows, why = _rows(recipes[0], found.split)
    texts = [str(value) for value in rows.column(_texts(recipes[0], rows)[0])[:200]] if rows else []
    named = dict(zip(found.runs, names, strict=True))
    facts = {"percent": found.percent, "test": found.difference.test, "rows": found.difference.n}
    values = {
        "language": words.choose(recipes[0].evaluate.language, texts),
        "names": names,
        "comparison": found.as_json() | facts,
        "pairs": [{**pair.as_json(), "names": [named[pair.first], named[pair.second]]} for pair in found.pairs],
        "metrics": [_metrics(folder, found.split) for folder in folders],
        "progress": [_progress(folder / "log.jsonl") for folder in folders],
        "recipes": [flat(recipe.as_json()) for recipe in recipes],
        "disagreement": _disagreement(recipes[0], answers, rows),
        "why_no_texts": why,
    }  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, comparison.page(values))
    except OSError as fault:
        reason = fault.strerror or fault
        raise UserError(f"The page '{path}' cannot be written: {reason}. Name another place with --out.") from None


def _names(folders: Sequence[Path]) -> list[str]:
    """Return short names of the runs: the last part of each path, the whole path where two are called the same."""
    short = [folder.resolve().name for folder in folders]
    return [one if short.count(one) == 1 else str(folder) for one, folder in zip(short, folders, strict=True)]


def _metrics(folder: Path, split: str) -> dict[str, Any]:
    try:
        tree = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {"scores": tree.get("metrics", {}).get(split, {}), "timing": tree.get("timing", {})}


def _progress(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []  # nothing was trained by gradients, or the run is not at its end
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _rows(recipe: Recipe, split: str) -> tuple[Rows | None, str]:
    """Read the rows that were answered once more, for their texts; the reason where that cannot be done."""
    from graftlm.stages import reading

    if recipe.data.train is None:
        return None, "they were given in memory"
    try:
        dataset = reading.read(recipe.data, recipe.task, {}, seed=recipe.train.seed)
    except GraftError as fault:
        return None, str(fault)
    rows = dataset.splits.get(split)
    return rows, "" if rows is not None else f"there is no split '{split}' in them now"


def _texts(recipe: Recipe, rows: Rows) -> list[str]:
    return [role.name for role in recipe.task.roles if role.kind == "text" and rows.has(role.name)]


def _disagreement(recipe: Recipe, answers: Sequence[Predictions], rows: Rows | None) -> dict[str, Any]:
    """Return the rows where some runs are right and others wrong, or, without such a metric, answer differently."""
    import numpy as np

    task = recipe.task
    hits = next((metric.hits for metric in task.metrics if metric.hits is not None), None)
    right: Any = np.array([hits(each.grades) for each in answers]) if hits is not None else None
    if right is not None:
        differ = right.any(axis=0) & ~right.all(axis=0)
    else:
        said = [[_answer(line) for line in read_lines(each.path)] for each in answers]
        differ = np.array([len({one[n] for one in said}) > 1 for n in range(len(answers[0].ids))])
    numbers = np.flatnonzero(differ)
    if right is not None:  # rows that just one run gets wrong, or right, stand first
        alone = np.minimum(right.sum(axis=0), (~right).sum(axis=0))[numbers]
        numbers = numbers[np.argsort(alone, kind="stable")]
    shown = numbers[:ROWS].tolist()
    lines = [read_lines(each.path, shown) for each in answers]
    texts = _texts_of(shown, answers[0].rows, rows, recipe) if rows is not None else {}
    return {
        "all": len(answers[0].ids),
        "count": len(numbers),
        "judged": right is not None,
        "rows": [
            {
                "where": lines[0][place].get("where") or answers[0].ids[number],
                "text": texts.get(number),
                "truth": lines[0][place].get("truth"),
                "answers": [
                    {"answer": _answer(run[place]), "right": bool(right[n][number]) if right is not None else None}
                    for n, run in enumerate(lines)
                ],
            }
            for place, number in enumerate(shown)
        ],
    }


def _texts_of(numbers: Sequence[int], marks: Sequence[str], rows: Rows, recipe: Recipe) -> dict[int, str]:
    """Return the texts of numbered rows, of those whose content is still what was answered."""
    if len(rows) != len(marks):
        return {}
    found = {}
    for number, example in zip(numbers, rows.take(list(numbers)).examples(), strict=True):
        if mark(example) == marks[number]:
            found[number] = recipe.task.reads(example)
    return found


def _answer(line: Mapping[str, Any]) -> str:
    """Return what was answered: everything that the task makes public, but for the confidence."""
    known = {"id", "truth", "where", "row", "grades", "probability"}
    public = {name: value for name, value in line.items() if name not in known}
    values = list(public.values())
    return json.dumps(values[0] if len(values) == 1 else public, ensure_ascii=False).strip('"')
