"""Fine-tune every parameter; the head starts from the probe's solution."""

from __future__ import annotations

from typing import ClassVar, Literal

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model


class Full(Method):
    """All parameters train.

    With `head: probe` the head starts as the logistic regression on frozen features (linear probing, then
    fine-tuning): the first gradients then do not distort good features to make up for a random head.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Kumar et al. 2022, arXiv:2202.10054, section 3 (LP-FT); Devlin et al. 2019"
    when: ClassVar[str] = "The default. With very few rows or little time, look at `probe` first."
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Start the head; everything trains."""
        if self.head == "probe":
            start_head(model, setting)
        return Adaptation()
