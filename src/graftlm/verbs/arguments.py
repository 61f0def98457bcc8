"""Arguments: command-line flags and Python keyword arguments become the same recipe as a file does."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graftlm import recipe as recipes
from graftlm.contracts.reference import base_use
from graftlm.core import registry
from graftlm.core.errors import DataError, UserError, near
from graftlm.recipe import Recipe

RECIPE_ENDINGS = (".yaml", ".yml")
# flag -> where its value goes in the tree
PLACES = {
    "valid": "data.valid",
    "test": "data.test",
    "out": "out",
    "seed": "train.seed",
    "device": "train.device",
    "processes": "train.processes",
    "precision": "train.precision",
    "budget": "train.budget",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "rate": "train.optimizer.rate",
    "refit": "train.refit",
    "trackers": "train.trackers",
    "require_gain": "evaluate.require_gain",
    "metrics": "evaluate.metrics",
    "remember": "remember.runs",
    "forget_at_most": "remember.forget_at_most",
    "overlap": "data.overlap",
    "bad_rows": "data.bad_rows",
}


SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
"""Names of splits in a mapping of them."""


def recipe_of(
    data: Any = None,
    *,
    task: Any = None,
    base: Any = None,
    method: Any = None,
    loss: Any = None,
    columns: Mapping[str, str | list[str]] | Iterable[str] | None = None,
    baselines: Any = None,
    settings: Sequence[str] | Mapping[str, Any] = (),
    **flags: Any,
) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe, and the data that were given as objects in memory, by split.

    `data` is a recipe file, a path, a Hub name, an object in memory, splits by name, or None. `settings` are
    "path=value" texts or a mapping from paths to values; they come last and win.

    Raises:
        RecipeError: the recipe has faults; all of them are told.
        UserError: an argument is unknown.
    """
    tree: dict[str, Any] = {}
    given: dict[str, Any] = {}
    if isinstance(data, Recipe):
        tree = data.as_json()
    elif isinstance(data, Mapping) and _is_splits(data):
        for name, part in data.items():
            _data(tree, given, SPLITS[str(name)], part)
    elif isinstance(data, Mapping) and not _is_rows(data):
        tree = copy.deepcopy(dict(data))  # flags are put into it, and the caller's own stays as it is
    elif isinstance(data, str | Path) and str(data).lower().endswith(RECIPE_ENDINGS) and not _is_yaml_data(data):
        tree = recipes.read(Path(data))
    elif data is not None:
        _data(tree, given, "train", data)
    for name in ("valid", "test"):
        if flags.get(name) is not None:
            _data(tree, given, name, flags.pop(name))
    odd = sorted(set(flags) - set(PLACES))
    if odd:
        guess = near(odd[0], [*PLACES, "task", "base", "method", "loss", "columns", "baselines", "settings"])
        raise UserError(
            f"There is no argument '{odd[0]}'.{guess} Set anything in a recipe with settings={{'path': value}}."
        )
    if task is not None:
        tree["task"] = _plugin(task)
    if base is not None:
        tree["backbone"] = base_use(base) if isinstance(base, str | Path) else _plugin(base)
    if method is not None:
        tree["methods"] = [_plugin(one) for one in _many(method)]
    if loss is not None:
        tree["losses"] = [_plugin(one) for one in _many(loss)]
    if columns:
        for role, column in (columns if isinstance(columns, Mapping) else _pairs(columns)).items():
            recipes.put(tree, f"data.columns.{role}", column)
    for flag, value in flags.items():
        if value is not None and value != ():
            recipes.put(tree, PLACES[flag], list(value) if isinstance(value, tuple) else value)
    if baselines:
        recipes.put(tree, "evaluate.baselines", _baselines(tree, baselines))
    pairs = settings.items() if isinstance(settings, Mapping) else map(recipes.setting, settings)
    for path, value in pairs:
        recipes.put(tree, path, value)
    return recipes.build(tree), given


def _is_yaml_data(data: str | Path) -> bool:
    """Tell whether a reader knows a YAML file as data: the corpus of ChatterBot, say."""
    from graftlm.stages.reading.sources import find

    try:
        find(data, None)
    except DataError:
        return False
    return True


def _is_rows(data: Mapping[str, Any]) -> bool:
    """Tell a dict of columns from a recipe: columns are lists of equal length under other names."""
    return bool(data) and not set(data) & set(Recipe.model_fields)


def _is_splits(data: Mapping[str, Any]) -> bool:
    """Tell splits by name (a `datasets.DatasetDict`, say) from a recipe, which has sections under its names."""
    return bool(data) and all(
        str(name) in SPLITS and not isinstance(part, str | Path | Mapping) for name, part in data.items()
    )


def _data(tree: dict[str, Any], given: dict[str, Any], split: str, data: Any) -> None:
    if isinstance(data, str | Path):
        recipes.put(tree, f"data.{split}", str(data))
    else:
        given[split] = data
        recipes.put(tree, f"data.{split}", f"memory:{type(data).__name__}")


def _many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _plugin(value: Any) -> Any:
    return value if isinstance(value, str | Mapping) else value.as_use()


def _pairs(texts: Iterable[str]) -> dict[str, str | list[str]]:
    """Return the column of each role; a role that is given again has several."""
    found: dict[str, list[str]] = {}
    for text in texts:
        role, equals, column = text.partition("=")
        if not equals or not role or not column:
            raise UserError(f"--column wants role=column, such as text=内容; got '{text}'.")
        found.setdefault(role, []).append(column)
    return {role: names[0] if len(names) == 1 else names for role, names in found.items()}


def _baselines(tree: Mapping[str, Any], asked: Any) -> Any:
    """Return what the task names plus what was asked for, or what was asked for alone after `none`."""
    names = _many(asked)
    if names in (["auto"], ["none"]):
        return names[0]
    if names[0] == "none":
        return names[1:]
    given = tree.get("task") or Recipe.model_fields["task"].get_default(call_default_factory=True)
    try:
        task = registry.make("task", given)
    except ValueError:  # told with all other faults, when the recipe is built
        return names
    return [*task.baselines, *(name for name in names if name not in task.baselines)]  # type: ignore[attr-defined]
