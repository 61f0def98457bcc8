"""`graft compare` as a function: two runs on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.verdict import Difference
from graftlm.core.errors import UserError, listing
from graftlm.prediction.lines import Predictions, read_predictions

if TYPE_CHECKING:
    from graftlm.recipe import Recipe

SPLITS = ("test", "valid")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs in the primary metric: their figures, and by how much the first is better."""

    first: str
    second: str
    split: str
    metric: str
    values: tuple[float, float]
    higher_is_better: bool
    percent: bool
    difference: Difference

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "first": self.first,
            "second": self.second,
            "split": self.split,
            "metric": self.metric,
            "values": list(self.values),
            "higher_is_better": self.higher_is_better,
            "difference": self.difference.as_json(),
        }


def compare(
    first: Path | str, second: Path | str, *, split: str | None = None, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Compare what two runs answered to the same rows of a split (None: test, where both have one, else valid).

    Raises:
        UserError: a folder is no finished run, the tasks differ, or the rows do.
    """
    from graftlm.stages.evaluating import paired

    one, other = Path(first), Path(second)
    task, theirs = _recipe(one).task, _recipe(other).task
    if task.name() != theirs.name():
        raise UserError(f"Only runs of one task can be compared; {one} is {task.name()}, {other} is {theirs.name()}.")
    split = split or _common(one, other)
    mine, yours = (read_predictions(folder / "predictions" / f"{split}.jsonl") for folder in (one, other))
    _same_rows(mine, yours)
    metric = task.primary
    if mine.grades.keys() != yours.grades.keys():
        raise UserError(f"{mine.path} and {yours.path} hold different grades; run both fits with the same version.")
    values = float(metric.compute(mine.grades)), float(metric.compute(yours.grades))
    difference = paired(task, mine.grades, yours.grades, resamples=resamples, seed=seed)
    return Comparison(
        str(one), str(other), split, metric.name, values, metric.higher_is_better, metric.percent, difference
    )


def _recipe(folder: Path) -> Recipe:
    from graftlm import recipe

    path = folder / "recipe.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: expected the folder of a finished run; there is no recipe.yaml in it.")
    return recipe.build(recipe.read(path))


def _common(one: Path, other: Path) -> str:
    held = [{path.stem for path in (folder / "predictions").glob("*.jsonl")} for folder in (one, other)]
    for split in SPLITS:
        if split in held[0] and split in held[1]:
            return split
    shown = [listing(sorted(names)) or "none" for names in held]
    raise UserError(
        f"The runs have no split in common: {one} has {shown[0]}, {other} has {shown[1]}. "
        "Fit both with the same test file, or evaluate them on one with `graft evaluate`."
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
