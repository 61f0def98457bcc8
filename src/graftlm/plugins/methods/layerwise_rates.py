"""Smaller learning rates for lower blocks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model


class LayerwiseRates(Method):
    """Block l of n learns at decay^(n - l + 1) of the run's rate, the embeddings at decay^(n + 1), the head at 1.

    The top block is decayed once already, as in the reference implementation.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Zhang et al. 2021, arXiv:2006.05987, section 2 and run_glue.py (LLRD)"
    when: ClassVar[str] = "Few rows, or a base worth keeping; `freeze` where the lowest blocks need not move at all."
    decay: float = Field(0.9, gt=0, le=1)
    """Factor from one block to the one below; 1: every block at the run's rate."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Give each block its rate."""
        if self.head == "probe":
            start_head(model, setting)
        count = len(model.blocks)
        rates = {path: self.decay ** (count - place) for place, path in enumerate(model.blocks)}
        rates.update(dict.fromkeys(model.before, self.decay ** (count + 1)))
        return Adaptation(rates=rates)
