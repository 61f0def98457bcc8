"""Fit: carry a pretrained model over to data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graftlm import pipeline
from graftlm.core import environment, processes
from graftlm.core.errors import RecipeError
from graftlm.pipeline import Run, Watcher
from graftlm.verbs.arguments import recipe_of


def fit(
    data: Any,
    *,
    resume: bool = False,
    watch: Watcher | None = None,
    metrics: Sequence[str | Callable[..., float]] = (),
    **arguments: Any,
) -> Run:
    """Train on data and write a run folder with a checked bundle in it.

    `data` is a file, a folder, a Hub data set, a recipe, a pandas DataFrame, a `datasets.Dataset`, a list
    of dicts, or a mapping from split names to these (a `datasets.DatasetDict`). Arguments are those of the
    command line: `valid`, `test`, `task`, `base`, `method`, `loss`, `out`, `seed`, `device`, `precision`,
    `budget`, `epochs`, `batch_size`, `rate`, `refit`, `columns`, `baselines`, `require_gain`, and `settings`
    for everything else, by path. A metric is an import path "package.module:function" or a function
    `f(true, predicted) -> float`.

    Raises:
        UserError: what was given cannot be used; the message says what was expected and what to do.
    """
    environment.settle()
    if processes.follows():
        return pipeline.follow()
    named = tuple(metric for metric in metrics if isinstance(metric, str))
    own = [metric for metric in metrics if not isinstance(metric, str)]
    recipe, given = recipe_of(data, metrics=named, **arguments)
    if recipe.tasks:
        if given:
            raise RecipeError("Several tasks are read from files: name them in tasks.NAME.data.")
        return pipeline.fit_several(recipe, resume=resume, watch=watch, own_metrics=own)
    return pipeline.fit(recipe, given, resume=resume, watch=watch, own_metrics=own)
