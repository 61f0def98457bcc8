"""Check: what is wrong with data, before any model loads."""

from __future__ import annotations

from typing import Any

from graftlm import pipeline
from graftlm.core import environment
from graftlm.core.errors import RecipeError
from graftlm.pipeline import Checked
from graftlm.recipe import Recipe
from graftlm.verbs.arguments import recipe_of


def check(data: Any, *, tokens: bool = False, memory: bool = False, **arguments: Any) -> Checked:
    """Read and check data; with `tokens`, lengths in tokens of the base model and its language too.

    With `memory`, `found.memory` is an estimate of the memory that the fit needs at most; no weights are loaded.

    Raises:
        UserError: the data or the recipe cannot be used, or the memory cannot be estimated.
    """
    environment.settle()
    recipe, given = recipe_of(data, **arguments)
    if recipe.tasks:
        raise RecipeError("The recipe has several tasks, each with rows of its own: use check_each.")
    return _one(recipe, given, tokens, memory)


def check_each(data: Any, *, tokens: bool = False, memory: bool = False, **arguments: Any) -> dict[str, Checked]:
    """Read and check the rows of each of several tasks, by name; of a recipe with one task, under the name "".

    Raises:
        UserError: as `check`.
    """
    environment.settle()
    recipe, given = recipe_of(data, **arguments)
    if not recipe.tasks:
        return {"": _one(recipe, given, tokens, memory)}
    if memory:
        raise RecipeError("The memory of several tasks is not estimated; leave --memory out.")
    found = {}
    for name, own in pipeline.recipes_of(recipe).items():
        with pipeline.of_task(name):
            found[name] = _one(own, {}, tokens, False)
    return found


def _one(recipe: Recipe, given: dict[str, Any], tokens: bool, memory: bool) -> Checked:
    found = pipeline.check(recipe, given, opened=recipe.backbone.open_on if tokens or memory else None)
    return pipeline.estimated(recipe, found) if memory else found
