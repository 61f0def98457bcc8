"""Check: what is wrong with data, before any model loads."""

from __future__ import annotations

from typing import Any

from graftlm import pipeline
from graftlm.core import environment
from graftlm.pipeline import Checked
from graftlm.verbs.arguments import recipe_of


def check(data: Any, *, tokens: bool = False, memory: bool = False, **arguments: Any) -> Checked:
    """Read and check data; with `tokens`, lengths in tokens of the base model and its language too.

    With `memory`, `found.memory` is an estimate of the memory that the fit needs at most; no weights are loaded.

    Raises:
        UserError: the data or the recipe cannot be used, or the memory cannot be estimated.
    """
    environment.settle()
    recipe, given = recipe_of(data, **arguments)
    found = pipeline.check(recipe, given, opened=recipe.backbone.open_on if tokens or memory else None)
    return pipeline.estimated(recipe, found) if memory else found
