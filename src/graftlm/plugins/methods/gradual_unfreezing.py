"""Unfreeze the model from the top down while training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, frozen_base, start_plain_head
from graftlm.contracts.model import Model


class GradualUnfreezing(Method):
    """Group j of n + 1 trains from step floor(j / (n + 1) * share * steps) on; before it its rate is 0.

    Group 0 is the head, 1 the top block, n the lowest one, n + 1 the embeddings. The paper unfreezes one group at each
    epoch; a share of the run keeps that order in runs of any length. Gradients of what waits are computed all the
    same, and Adam's moments follow them, so a step costs what a plain one does.
    """

    source: ClassVar[str] = "Howard and Ruder 2018, arXiv:1801.06146, section 3.3 (ULMFiT)"
    when: ClassVar[str] = "Few rows and a random head; with the probe's head `layerwise_rates` is simpler."
    share: float = Field(0.5, gt=0, le=1)
    """Share of the run after which everything trains."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse where the base does not move."""
        return frozen_base(setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Give each group its rate at each step."""
        start_plain_head(model, setting)
        groups = [[path] for path in reversed(model.blocks)] + [model.before]
        begins = {
            path: int((place + 1) / len(groups) * self.share * setting.steps)
            for place, group in enumerate(groups)
            for path in group
        }

        def rates_at(step: int) -> Mapping[str, float]:
            return {path: float(step >= begin) for path, begin in begins.items()}

        return Adaptation(rates_at=rates_at)
