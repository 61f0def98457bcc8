"""Transfer learning for language models, end to end: from a pretrained model and your text to a checked bundle.

The verbs of the command line are functions here; each is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graftlm.core.errors import (
        BundleError,
        DataError,
        GateMissed,
        GraftError,
        Interrupted,
        MissingPackage,
        RecipeError,
        UserError,
    )
    from graftlm.recipe import Recipe
    from graftlm.verbs.caching import cache
    from graftlm.verbs.checking import check
    from graftlm.verbs.comparing import compare
    from graftlm.verbs.demonstrating import demo
    from graftlm.verbs.describing import describe
    from graftlm.verbs.evaluating import evaluate
    from graftlm.verbs.exporting import export
    from graftlm.verbs.fitting import fit
    from graftlm.verbs.listing import list_plugins
    from graftlm.verbs.predicting import predict
    from graftlm.verbs.running import run
    from graftlm.verbs.scaffolding import new
    from graftlm.verbs.schema import schema

__version__ = "0.1.0"

# module -> names that come from it
_HOMES = {
    "core.errors": (
        "BundleError",
        "DataError",
        "GateMissed",
        "GraftError",
        "Interrupted",
        "MissingPackage",
        "RecipeError",
        "UserError",
    ),
    "recipe": ("Recipe",),
    "verbs.caching": ("cache",),
    "verbs.checking": ("check",),
    "verbs.comparing": ("compare",),
    "verbs.demonstrating": ("demo",),
    "verbs.describing": ("describe",),
    "verbs.evaluating": ("evaluate",),
    "verbs.exporting": ("export",),
    "verbs.fitting": ("fit",),
    "verbs.listing": ("list_plugins",),
    "verbs.predicting": ("predict",),
    "verbs.running": ("run",),
    "verbs.scaffolding": ("new",),
    "verbs.schema": ("schema",),
}

__all__ = [
    "BundleError",
    "DataError",
    "GateMissed",
    "GraftError",
    "Interrupted",
    "MissingPackage",
    "Recipe",
    "RecipeError",
    "UserError",
    "__version__",
    "cache",
    "check",
    "compare",
    "demo",
    "describe",
    "evaluate",
    "export",
    "fit",
    "list_plugins",
    "new",
    "predict",
    "run",
    "schema",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"graftlm.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'graftlm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
