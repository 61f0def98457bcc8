"""Weights learnt as the noise of each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Plan, Weights

if TYPE_CHECKING:
    from torch import nn


class Uncertainty(Balancer):
    """L = sum of f e^(-s_k) L_k + s_k / 2, with s_k = ln sigma_k^2 learnt beside the model.

    f is 1 for a softmax's cross-entropy and 1/2 for a squared error. Adam moves s_k at a rate of its own: at the
    model's, which is some hundred times smaller, the weights would hardly leave their start. s_k is not decayed.
    """

    source: ClassVar[str] = "Kendall, Gal and Cipolla 2018, arXiv:1705.07115, equations 7 and 10"
    when: ClassVar[str] = "Losses of different kind and scale; `fixed` where all are cross-entropies."
    start_at: float = Field(0.0, ge=-10, le=10)
    """s_k at the start."""
    factor: float = Field(1.0, gt=0, le=1)
    """f: 1 for cross-entropies, 0.5 for squared errors."""
    rate: float = Field(0.025, gt=0, le=1)
    """Adam's step size for s_k: a weight changes by about so large a share of itself at each step, at most."""

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return one s for each task, and Adam's moments."""
        from graftlm.nn.stepping import Stepping

        return Stepping(list(names), self.start_at)

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return f e^(-s)."""
        known: Any = state
        found = (self.factor * (-known.value).exp()).tolist()
        return {name: found[known.names.index(name)] for name in names}

    def learn(self, balance: Balance) -> None:
        """Move each s against dL/ds_k = 1/2 - f e^(-s_k) L_k."""
        import torch

        known: Any = balance.state
        losses = torch.tensor([balance.losses[name] for name in known.names]).to(known.value)
        known.move(0.5 - self.factor * (-known.value).exp() * losses, self.rate)
