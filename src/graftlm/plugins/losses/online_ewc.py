"""Weights that mattered to a chain of earlier runs are held near where the last one left them (online EWC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from graftlm.contracts import fisher
from graftlm.contracts.anchored import AnchoredLoss
from graftlm.contracts.ground import Ground

if TYPE_CHECKING:
    from torch import Tensor, nn


class OnlineEwc(AnchoredLoss):
    """1/2 * sum over i of F_i * (w_i - w0_i)^2, with F = gamma * F before + F_t over the runs t in their order.

    F_t is the Fisher matrix's diagonal of run t at the weights that it ended with, as in `ewc`; w0 are the weights
    that this run starts from, the last run's. One penalty stands for all of them, whatever their number. Without runs
    F is that of the base's own vectors.
    """

    source: ClassVar[str] = "Schwarz et al. 2018, arXiv:1805.06370, section 3.2 and equation 9"
    when: ClassVar[str] = "A chain of several runs at the price of one; `ewc` for one run before this one."
    strength: float = Field(100.0, ge=0)
    """lambda; sane ranges are those of `ewc`."""
    runs: list[str] = Field(default_factory=list)
    """Folders of the earlier runs, first to last; this one's base comes from the last."""
    gamma: float = Field(0.95, ge=0, le=1)
    """What stays of the earlier runs at each further one; 0.9 to 1 are usual."""
    rows: int = Field(256, ge=1, le=1_000_000)
    """Rows of each run that its F is averaged over."""
    labels: Literal["model", "data"] = "model"
    """y: drawn from the model's own answers (the Fisher matrix), or the truth (the empirical one)."""

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Compute each F before the first step, and add them up."""
        from graftlm.nn.importance import carried
        from graftlm.nn.kept import anchors

        model = ground.model
        first = anchors(model.module, model.base, model.head, ground.start)
        if not self.runs:
            return self.held(first, fisher.of_vectors(ground, first, self.rows))
        total: dict[str, Tensor] = {}
        for place, run in enumerate(self.runs):
            earlier = ground.earlier(run)
            if place == len(self.runs) - 1:
                fisher.check_same_start(ground, earlier, run)
            found = fisher.of_run(earlier, self.rows, self.labels, ground.seed)
            here = carried(found, earlier.model.base, model.module, model.base, first)
            total = {name: here[name] + self.gamma * total[name] if total else here[name] for name in here}
        return self.held(first, total)
