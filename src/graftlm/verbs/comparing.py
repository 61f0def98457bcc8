"""`graft compare` as a function: two runs or more on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.verdict import Difference
from graftlm.core.errors import UserError, listing
from graftlm.prediction.lines import Predictions, read_predictions

if TYPE_CHECKING:
    from graftlm.recipe import Recipe

SPLITS = ("test", "valid")


@dataclass(frozen=True, slots=True)
class Pair:
    """By how much one run is better than another; `holm` is the p-value with Holm's correction over all pairs."""

    first: str
    second: str
    difference: Difference
    holm: float

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"first": self.first, "second": self.second, **self.difference.as_json(), "p_holm": self.holm}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs in the primary metric: their figures, and by how much each is better than each that comes after it.

    `page` is the file that shows it all, where one was asked for.
    """

    runs: tuple[str, ...]
    split: str
    metric: str
    values: tuple[float, ...]
    higher_is_better: bool
    percent: bool
    pairs: tuple[Pair, ...]
    page: Path | None = None

    @property
    def difference(self) -> Difference:
        """Return by how much the first run is better than the second."""
        return self.pairs[0].difference

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "runs": list(self.runs),
            "split": self.split,
            "metric": self.metric,
            "values": list(self.values),
            "higher_is_better": self.higher_is_better,
            "difference": self.difference.as_json(),
            "pairs": [pair.as_json() for pair in self.pairs],
        }


def compare(
    first: Path | str,
    second: Path | str,
    *more: Path | str,
    split: str | None = None,
    out: Path | str | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare what runs answered to the same rows of a split (None: test, where all have one, else valid).

    With `out`, a page with figures, differences, learning curves, recipes and the rows where the runs disagree is
    written there.

    Raises:
        UserError: a folder is no finished run, the tasks differ, or the rows do; the page cannot be written.
    """
    from graftlm.stages.evaluating import paired

    folders = [Path(each) for each in (first, second, *more)]
    recipes = [_recipe(folder) for folder in folders]
    task = recipes[0].task
    for folder, other in zip(folders, recipes, strict=True):
        if other.task.name() != task.name():
            raise UserError(
                f"Only runs of one task can be compared; {folders[0]} is {task.name()}, {folder} is "
                f"{other.task.name()}."
            )
    split = split or _common(folders)
    answers = [read_predictions(folder / "predictions" / f"{split}.jsonl") for folder in folders]
    for further in answers[1:]:
        _same_rows(answers[0], further)
    metric = task.primary
    differences = {
        (one, other): paired(task, answers[one].grades, answers[other].grades, resamples=resamples, seed=seed)
        for one, other in combinations(range(len(folders)), 2)
    }
    corrected = holm([difference.p_value for difference in differences.values()])
    found = Comparison(
        tuple(map(str, folders)),
        split,
        metric.name,
        tuple(float(metric.compute(each.grades)) for each in answers),
        metric.higher_is_better,
        metric.percent,
        tuple(
            Pair(str(folders[one]), str(folders[other]), difference, p_value)
            for ((one, other), difference), p_value in zip(differences.items(), corrected, strict=True)
        ),
        Path(out) if out is not None else None,
    )
    if found.page is not None:
        from graftlm.verbs.comparison_page import write

        write(found, recipes, answers)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's step-down correction (Holm 1979), in their order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, largest = [0.0] * len(p_values), 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        found[number] = largest
    return found


def _recipe(folder: Path) -> Recipe:
    from graftlm import recipe

    path = folder / "recipe.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: expected the folder of a finished run; there is no recipe.yaml in it.")
    return recipe.build(recipe.read(path))


def _common(folders: Sequence[Path]) -> str:
    held = [{path.stem for path in (folder / "predictions").glob("*.jsonl")} for folder in folders]
    for split in SPLITS:
        if all(split in names for names in held):
            return split
    shown = ", ".join(f"{f} has {listing(sorted(names)) or 'none'}" for f, names in zip(folders, held, strict=True))
    raise UserError(
        f"The runs have no split in common: {shown}. "
        "Fit them with the same test file, or evaluate them on one with `graft evaluate`."
    )


def _same_rows(mine: Predictions, yours: Predictions) -> None:
    """Refuse answers to different rows; the order and the content must be the same.

    Raises:
        UserError: they differ; the message names the first place.
    """
    if len(mine.rows) != len(yours.rows):
        raise UserError(
            f"Paired runs need the same rows: {mine.path} has {len(mine.rows)}, {yours.path} {len(yours.rows)}. "
            "Fit both with the same data and the same split."
        )
    for number, (one, other) in enumerate(zip(mine.rows, yours.rows, strict=True)):
        if one != other:
            raise UserError(
                f"Paired runs need the same rows in the same order: line {number + 1} is row '{mine.ids[number]}' in "
                f"{mine.path} and another, '{yours.ids[number]}', in {yours.path}. Fit both with the same data and "
                "the same seed for the split."
            )
    if mine.grades.keys() != yours.grades.keys():
        raise UserError(f"{mine.path} and {yours.path} hold different grades; run both fits with the same version.")
