"""`graft run` as a function: a plan, which is a list of recipes, each starting from the bundle of an earlier one."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftlm import pipeline
from graftlm import recipe as recipes
from graftlm.contracts.reference import base_use
from graftlm.core import files, log, processes
from graftlm.core.errors import GateMissed, RecipeError, listing, near
from graftlm.pipeline import Watcher
from graftlm.pipeline.earlier import contents
from graftlm.recipe import Recipe
from graftlm.report import chain as page
from graftlm.stages import run_folder

KEYS = ("out", "all", "remember", "runs")
NONE = "none"


@dataclass(frozen=True, slots=True)
class Step:
    """One run of a plan: its name, its filled recipe, and the earlier runs that it stands on, the first one first."""

    name: str
    recipe: Recipe
    ancestors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A finished plan: its folder, metrics by run, and the matrix R[t][i] of run i's figure after run t."""

    folder: Path
    metrics: Mapping[str, Mapping[str, Any]]
    matrix: Mapping[str, Mapping[str, float]]
    summary: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, as plan.json keeps it."""
        primary = {name: found.get("primary") for name, found in self.metrics.items()}
        return {"runs": primary, "matrix": {k: dict(v) for k, v in self.matrix.items()}, "summary": dict(self.summary)}


def run(plan: Path | str | Mapping[str, Any], *, watch: Watcher | None = None) -> Chain:
    """Carry out a plan, run by run; runs that are finished are taken as they are, a stopped one goes on.

    ```yaml
    out: runs/chain              # folder; each run is a folder in it
    all: {train: {epochs: 3}}    # what every recipe has, where it says nothing else
    remember: true               # judge every earlier run's task after each run (the default)
    runs:
      - {name: first, data: {train: a.csv, test: a_test.csv}}
      - {name: second, data: {train: b.csv, test: b_test.csv}}   # starts from first; `after: none` from the base
    ```

    Raises:
        RecipeError: the plan has faults; all recipes are built before anything runs.
        UserError: a run cannot be done.
        GateMissed: all is done, but a gate of some run was missed.
    """
    if processes.place().launched:
        raise RecipeError("graft run starts processes itself, for each run: set train.processes in the plan.")
    folder, steps = read_plan(plan)
    metrics: dict[str, Mapping[str, Any]] = {}
    missed: list[str] = []
    for number, step in enumerate(steps, 1):
        place = Path(step.recipe.out or "")
        log.note(f"run {number} of {len(steps)}: {step.name}")
        if _finished(place, step.recipe):
            log.note(f"{step.name} is finished: taken as it is")
        else:
            with contextlib.suppress(GateMissed):  # told at the end, of finished runs too
                pipeline.fit(step.recipe, resume=(place / "recipe.yaml").is_file(), watch=watch)
        metrics[step.name] = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
        if (gate := pipeline.missed_gate(step.recipe, metrics[step.name], place)) is not None:
            missed.append(f"{step.name}: {gate}")
    table = matrix(steps, metrics)
    chain = Chain(folder, metrics, table, summary(steps, metrics, table))
    files.write_json(folder / "plan.json", chain.as_json())
    files.write_text(folder / "chain.html", page.page(folder.name, table, metrics, chain.summary, _language(steps)))
    if missed:
        raise GateMissed(" ".join(missed))
    return chain


def _language(steps: Sequence[Step]) -> str:
    """Return the language that the page of the first run opens in, which is that of its texts."""
    with (Path(steps[0].recipe.out or "") / "report.html").open(encoding="utf-8") as page:
        return "zh" if 'lang="zh"' in page.readline() + page.readline() else "en"


def read_plan(plan: Path | str | Mapping[str, Any]) -> tuple[Path, list[Step]]:
    """Return the folder of a plan and its steps, every recipe filled in.

    Raises:
        RecipeError: a key or a name is wrong, or a recipe has faults.
    """
    tree = dict(plan) if isinstance(plan, Mapping) else recipes.read(Path(plan))
    if odd := sorted(set(tree) - set(KEYS)):
        raise RecipeError(f"'{odd[0]}' is not a key of a plan.{near(odd[0], KEYS)} Keys: {listing(KEYS)}.")
    runs = tree.get("runs")
    if not isinstance(runs, list) or not runs or not all(isinstance(one, Mapping) for one in runs):
        raise RecipeError("A plan needs 'runs': a list of recipes, each with a name beside it.")
    if "out" not in tree:
        raise RecipeError("A plan needs 'out': the folder in which each run gets its own, so that it can go on later.")
    folder, keeps = Path(str(tree["out"])), tree.get("remember", True)
    steps: list[Step] = []
    for number, given in enumerate(runs, 1):
        steps.append(_step(number, given, steps, folder, tree.get("all") or {}, bool(keeps)))
    return folder, steps


def _step(
    number: int, given: Mapping[str, Any], before: Sequence[Step], folder: Path, common: Mapping[str, Any], keeps: bool
) -> Step:
    tree = _merged(common, given)
    name = str(tree.pop("name", f"run{number}"))
    known = {step.name: step for step in before}
    if name in known or not name.strip() or any(sign in name for sign in "/\\:") or name.startswith("."):
        raise RecipeError(f"runs.{number - 1}.name: expected a name of its own that a folder can have; got '{name}'.")
    if tree.get("tasks"):
        raise RecipeError(
            f"runs.{number - 1}.tasks: a run of a plan has one task, since the next one starts from its bundle; fit "
            "several tasks with graft fit, and start a plan from a task of theirs (graft export --task)."
        )
    if "out" in tree:
        raise RecipeError(f"runs.{number - 1}.out: a run of a plan lies in the plan's folder; take 'out' away.")
    after = tree.pop("after", before[-1].name if before else NONE)
    ancestors: tuple[str, ...] = ()
    if after not in (None, NONE):
        if after not in known:
            raise RecipeError(
                f"runs.{number - 1}.after: there is no earlier run '{after}'.{near(str(after), list(known))} Earlier "
                f"runs: {listing(list(known)) or 'none'}."
            )
        if "backbone" in tree and "backbone" in given:
            raise RecipeError(
                f"runs.{number - 1}: '{name}' starts from '{after}' and names a backbone too; keep one (after: none)."
            )
        ancestors = (*known[after].ancestors, after)
        # not there yet: "./" says that it will be a folder
        tree["backbone"] = base_use(os.path.join("." if not folder.is_absolute() else "", folder, after, "bundle"))
        if keeps and "remember" not in tree:
            tree["remember"] = {"runs": [str(folder / one) for one in ancestors]}
        elif keeps and "runs" not in tree["remember"]:
            tree["remember"] = {**tree["remember"], "runs": [str(folder / one) for one in ancestors]}
    else:
        tree.pop("remember", None)  # nothing came before
    tree["out"] = str(folder / name)
    try:
        return Step(name, recipes.build(tree), ancestors)
    except RecipeError as fault:
        raise RecipeError(f"runs.{number - 1} ({name}): {fault}") from None


def _merged(common: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the common tree with a run's own values over it; a plug-in of another name replaces the whole."""
    out = copy.deepcopy(dict(common))
    for key, value in given.items():
        here = out.get(key)
        if (
            isinstance(here, Mapping)
            and isinstance(value, Mapping)
            and value.get("use", here.get("use")) == here.get("use")
        ):
            out[key] = _merged(here, value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def _finished(place: Path, recipe: Recipe) -> bool:
    """Tell whether a run is done.

    Raises:
        RecipeError: it was done with another recipe, or beside earlier runs or files that have changed since.
    """
    if not (place / "metrics.json").is_file():
        return False
    known = (place / ".fingerprint").read_text(encoding="utf-8").strip() if (place / ".fingerprint").is_file() else ""
    if known != recipe.fingerprint():
        raise RecipeError(
            f"'{place}' holds a finished run of another recipe. Give the run another name in the plan, or remove the "
            "folder and those of the runs that stand on it."
        )
    changed = run_folder.changed(place, contents(recipe))
    if changed:
        raise RecipeError(
            f"'{place}' holds a finished run, and what {listing(changed)} names in its recipe has changed since: its "
            "figures would be of something else. Remove the folder and those of the runs that stand on it."
        )
    return True


def matrix(steps: Sequence[Step], metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return R[t][i]: the primary figure of run i's task on its own rows after run t, for i = t and its ancestors."""
    found: dict[str, dict[str, float]] = {}
    for step in steps:
        row = {}
        for told in (metrics[step.name].get("remember") or {}).get("runs", ()):
            name = Path(told["run"]).name
            if name in step.ancestors:
                row[name] = float(told["after"]["value"])
        if metrics[step.name].get("primary"):
            row[step.name] = float(metrics[step.name]["primary"]["value"])
        found[step.name] = row
    return found


def summary(
    steps: Sequence[Step], metrics: Mapping[str, Mapping[str, Any]], table: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return backward transfer, forgetting and forward transfer of one unbroken chain; empty where the plan branches.

    Backward transfer is the mean of R[T][i] - R[i][i] over i < T (Lopez-Paz and Ranzato 2017, arXiv
    1706.08840, eq. 3); forgetting that of max over t < T of R[t][i], less R[T][i] (Chaudhry et al. 2018,
    arXiv 1801.10112, eq. 3). Figures where lower is better are turned round. Forward transfer is the mean of
    R[i-1][i] - b[i] over i > 1 (Lopez-Paz and Ranzato 2017, eq. 4), both of a linear head on frozen features:
    it is there where every run had the baseline `probe`.
    """
    last = steps[-1]
    names = last.ancestors
    if not names or len(names) != len(steps) - 1 or any(name not in table[last.name] for name in names):
        return {}
    back, lost = [], []
    for name in names:
        primary = metrics[name].get("primary")
        if not primary:
            return {}
        sign = 1 if metrics[name]["metrics"][primary["split"]][primary["name"]]["higher_is_better"] else -1
        over_time = [sign * row[name] for one, row in table.items() if name in row and one != last.name]
        back.append(sign * (table[last.name][name] - table[name][name]))
        lost.append(max(over_time) - sign * table[last.name][name])
    found = {"backward_transfer": sum(back) / len(back), "forgetting": sum(lost) / len(lost)}
    ahead = [(metrics[name].get("remember") or {}).get("forward") for name in (*names[1:], last.name)]
    if all(ahead):
        found["forward_transfer"] = sum(one["gain"]["gain"] for one in ahead if one) / len(ahead)
    return found
