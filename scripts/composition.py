"""What goes with what: each pair of methods, each method with each loss, asked of a tiny classifier before training.

    python scripts/composition.py

The answers are those that a run would get ahead of its first step; `pytest -m slow tests/conformance` trains all pairs
that are not refused.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from typing import Any

from graftlm.core import registry


@lru_cache(maxsize=1)
def small() -> tuple[Any, Any]:
    """Return a tiny model and what methods may look at beside it; nobody changes it."""
    import numpy as np

    from graftlm.contracts.method import Linear, Setting
    from graftlm.contracts.values import Space
    from graftlm.stages.training.assembling import assemble

    backbone, task = registry.make("backbone", "tiny"), registry.make("task", "classification")
    space = Space(("card", "money"), 2)
    base = backbone.open()
    model = assemble(base, backbone, task, space, seed=0)
    solution = Linear(np.zeros((2, base.card.width), "float32"), np.zeros(2, "float32"), 1.0)
    setting = Setting(
        task=task, space=space, optimizer=registry.make("optimizer", "adamw"), rows=4, steps=100, seed=0,
        probe=lambda: solution,
    )  # fmt: skip
    return model, setting


def world(methods: tuple[str, ...], losses: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the tiny model and the setting of a recipe with these methods and losses."""
    model, setting = small()
    return model, replace(setting, methods=methods, losses=losses)


def made(kind: str, name: str) -> Any | None:
    """Return a plug-in without options, or None if it needs some."""
    found: Any = registry.load(kind, name)
    return None if any(info.is_required() for info in found.model_fields.values()) else found()


def reason_of_pair(first: str, second: str) -> str | None:
    """Return why two methods cannot be used together, or None."""
    plugins = [made("method", name) for name in (first, second)]
    model, setting = world((first, second), ())
    return next((reason for one in plugins if one and (reason := one.refuses(model, setting))), None)


def reason_of_loss(method: str, loss: str) -> str | None:
    """Return why a loss cannot be used with a method, or None."""
    one, other = made("method", method), made("loss", loss)
    if one is None or other is None:
        return None
    model, setting = world((method,), (loss,))
    reason: str | None = one.refuses(model, setting) or other.refuses(model, setting.task) or other.clashes([one])
    return reason


def page() -> str:
    """Return the page."""
    logger = logging.getLogger("graftlm")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what plug-ins note on the way is for runs
    try:
        return _page()
    finally:
        logger.setLevel(level)


def _page() -> str:
    methods, losses = registry.names("method"), registry.names("loss")
    pairs = {(a, b): reason_of_pair(a, b) for number, a in enumerate(methods) for b in methods[number + 1 :]}
    with_loss = {(a, b): reason_of_loss(a, b) for a in methods for b in losses}
    refused = {key: why for key, why in {**pairs, **with_loss}.items() if why}
    good, fine = (sum(key not in refused for key in asked) for asked in (pairs, with_loss))
    lines = [
        "# What goes with what",
        "Written when the documentation is built, from what methods and losses say of each other on a small "
        f"classifier. Of {len(pairs)} pairs of methods {good} work together, and of {len(with_loss)} pairs of a method "
        f"and a loss {fine}; the others are refused before training, with the reason. A method or loss that needs "
        "options of its own (an earlier run, say) is counted as working.",
        "| method | does not go with | because |\n|---|---|---|",
    ]
    rows = []
    for name in methods:
        found: dict[str, list[str]] = {}
        for (a, b), why in refused.items():
            if name in (a, b):
                other = b if a == name else a
                found.setdefault(why.replace(f"'{other}'", "that one"), []).append(other)
        for why, others in found.items():
            rows.append(f"| `{name}` | {', '.join(f'`{other}`' for other in others)} | {_cell(why)} |")
    lines[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page())
