"""Weights by how slowly each loss fell from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Plan, Weights

if TYPE_CHECKING:
    from torch import nn


class Dwa(Balancer):
    """w_k = K softmax(r / T)_k with r_k = L_k(epoch - 1) / L_k(epoch - 2), means over epochs; 1 in the first two."""

    source: ClassVar[str] = "Liu, Johns and Davison 2019, arXiv:1803.10704, equation 7 (dynamic weight average)"
    when: ClassVar[str] = "Many epochs, one task learning faster than the rest; `uncertainty` in short runs."
    temperature: float = Field(2.0, gt=0, le=100)
    """T: large ones weigh all tasks alike."""

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return the sums of this epoch and the means of the two before, for each task."""
        import torch

        class Means(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.names = list(names)
                self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
                for name in ("total", "count", "last", "before"):
                    self.register_buffer(name, torch.zeros(len(self.names), dtype=torch.float64))

        return Means()

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return the weights of this epoch."""
        known: Any = state
        self._turn(known, plan.epoch)
        if plan.epoch < 2 or not bool((known.before > 0).all()):
            return dict.fromkeys(names, 1.0)
        ratios = (known.last / known.before).tolist()
        highest = max(ratios)
        powers = [math.exp((ratio - highest) / self.temperature) for ratio in ratios]
        of = dict(zip(known.names, powers, strict=True))
        return {name: len(powers) * of[name] / sum(powers) for name in names}

    def learn(self, balance: Balance) -> None:
        """Add the losses of this step to the means of its epoch."""
        known: Any = balance.state
        self._turn(known, balance.plan.epoch)
        for name, loss in balance.losses.items():
            place = known.names.index(name)
            known.total[place] += loss
            known.count[place] += 1

    @staticmethod
    def _turn(known: Any, epoch: int) -> None:
        """Move on to another epoch: its means become the last ones."""
        if int(known.epoch) == epoch:
            return
        known.before.copy_(known.last)
        known.last.copy_(known.total / known.count.clamp(min=1))
        known.total.zero_()
        known.count.zero_()
        known.epoch.fill_(epoch)
