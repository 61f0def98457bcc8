"""Weights learnt as the noise of each task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Plan, Weights

if TYPE_CHECKING:
    from torch import nn


class Uncertainty(Balancer):
    """L = sum of f e^(-s_k) L_k + s_k / 2, with s_k = ln sigma_k^2 learnt beside the model.

    f is 1 for a softmax's cross-entropy and 1/2 for a squared error. s_k is not decayed.
    """

    source: ClassVar[str] = "Kendall, Gal and Cipolla 2018, arXiv:1705.07115, equations 7 and 10"
    when: ClassVar[str] = "Losses of different kind and scale; `fixed` where all are cross-entropies."
    start_at: float = Field(0.0, ge=-10, le=10)
    """s_k at the start."""
    factor: float = Field(1.0, gt=0, le=1)
    """f: 1 for cross-entropies, 0.5 for squared errors."""

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return the module with one s for each task."""
        import torch

        return torch.nn.ParameterDict({_key(name): torch.nn.Parameter(torch.tensor(self.start_at)) for name in names})

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return f e^(-s)."""
        known: Any = state
        return {name: self.factor * math.exp(-float(known[_key(name)].detach())) for name in names}

    def learn(self, balance: Balance) -> None:
        """Leave dL/ds_k = 1/2 - f e^(-s_k) L_k in each s."""
        import torch

        known: Any = balance.state
        for name, loss in balance.losses.items():
            s = known[_key(name)]
            s.grad = torch.full_like(s, 0.5 - self.factor * math.exp(-float(s.detach())) * loss)


def _key(name: str) -> str:
    """Return the name of a task's s in the module, whose own methods (`type`, `items`) would else be in the way."""
    return f"s of {name}"
