"""Demo: the main job on sample data with the embedded model."""

from __future__ import annotations

from typing import Any

from graftlm import samples
from graftlm.pipeline import Run
from graftlm.verbs.fitting import fit

SAMPLE = "banking77"


def demo(**arguments: Any) -> Run:
    """Fit the embedded model on the Banking77 sample; takes the arguments of `fit`."""
    data = {name: str(samples.path(SAMPLE, name)) for name in ("train", "test")}
    return fit(data["train"], test=data["test"], **arguments)
