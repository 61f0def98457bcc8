"""Demo: the main job on sample data with the embedded model."""

from __future__ import annotations

from typing import Any

from graftlm import samples
from graftlm.pipeline import Run
from graftlm.verbs.fitting import fit

SAMPLE = "banking77"
BUDGET = "110s"
"""Time for training, unless the caller says how long: enough to see that the transfer helps."""


def demo(**arguments: Any) -> Run:
    """Fit the embedded model on the Banking77 sample; takes the arguments of `fit`.

    Training is given 110 seconds, and its schedule ends there, unless `budget` or `epochs` say otherwise.
    """
    paths = [str(item).partition("=")[0].strip() for item in arguments.get("settings", ())]
    if arguments.get("epochs") is None and not {"train.budget", "train.epochs"} & set(paths):
        arguments["budget"] = arguments.get("budget") or BUDGET
    data = {name: str(samples.path(SAMPLE, name)) for name in ("train", "test")}
    return fit(data["train"], test=data["test"], **arguments)
