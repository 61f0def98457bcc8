"""Shift the objective from the pretrained weights to the task while training (RecAdam)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Method, Setting, Update, frozen_base, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-12
"""Smallest share of the task: the optimizer's rate is told apart from it again by division."""
USUAL = 0.1
"""Rate times pull in the paper's runs: 2e-5 * 5000."""


class RecAdam(Method):
    """The optimizer's step at rate * lambda, then w <- w - rate * (1 - lambda) * pull * (w - w0).

    lambda(t) = 1 / (1 + exp(-k (t - t0))), and w0 is the pretrained value; the pull is apart from Adam's scaling. The
    head, and what a method set anew, learn at the plain rate from the start. The optimizer's weight decay is scaled by
    lambda too. rate * pull counts as 1 where it is more: the weights are then put back whole.
    """

    source: ClassVar[str] = "Chen et al. 2020, arXiv:2004.12651, algorithm 1; Sanyuan-Chen/RecAdam:RecAdam.py"
    when: ClassVar[str] = "Few rows on a base worth keeping, with the pull strong first; `l2_sp` pulls all the time."
    wants_start: ClassVar[bool] = True
    k: float = Field(0.1, gt=0, le=100)
    """Steepness of the shift; 0.05 to 1 in the paper."""
    t0: int | None = Field(None, ge=0)
    """Update at which task and pretrained weights weigh the same; None: at a quarter of the planned updates."""
    pull: float | None = Field(None, gt=0, le=1e9)
    """Coefficient of the penalty; None: 0.1 / peak rate, the paper's product of the two (5000 at 2e-5)."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse where the base does not move."""
        return frozen_base(setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Scale the rates of the base, and pull after each update."""
        import torch

        from graftlm.nn.kept import anchors

        start_plain_head(model, setting)
        held: dict[str, Tensor] = {}
        middle = setting.steps // 4 if self.t0 is None else self.t0
        peak = {"rate": 0.0}

        def share(step: int) -> float:
            return max(LEAST, 1 / (1 + math.exp(min(700.0, -self.k * (step - middle)))))

        def rates_at(step: int) -> Mapping[str, float]:
            return dict.fromkeys(held, share(step))

        def begin(ground: Ground) -> None:
            held.update(anchors(model.module, model.base, model.head, ground.start))
            peak["rate"] = ground.rate

        def restore(update: Update) -> None:
            at = share(update.step)
            by_rate: dict[float, list[str]] = {}
            for name in held:
                by_rate.setdefault(update.rate(name) / at, []).append(name)
            pull = USUAL / peak["rate"] if self.pull is None else self.pull
            with torch.no_grad():
                for rate, part in by_rate.items():
                    back = min(1.0, rate * pull) * (1 - at)
                    parameters: list[Tensor] = [model.module.get_parameter(name) for name in part]
                    torch._foreach_lerp_(parameters, [held[name] for name in part], back)

        return Adaptation(rates_at=rates_at, begin=begin, after_update=restore)
