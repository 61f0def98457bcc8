"""Weights learnt so that gradients are of like size and tasks learn at like speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Plan, Weights

if TYPE_CHECKING:
    from torch import nn


class Gradnorm(Balancer):
    """Minimises sum of |G_k - mean(G) r_k^a| over w, G_k = w_k |grad L_k|, r_k = (L_k / L_k(0)) / mean; sum of w = K.

    The target mean(G) r_k^a is held fixed, as in the paper. The norms are those on all shared parameters.
    """

    source: ClassVar[str] = "Chen et al. 2018, arXiv:1711.02257, equations 1 and 2, algorithm 1"
    when: ClassVar[str] = "One task's gradients drown the others'; `pcgrad` where they point against each other."
    needs_gradients: ClassVar[bool] = True
    alpha: float = Field(1.5, ge=0, le=10)
    """a: how strongly slow tasks are pulled along; 0 only evens out the sizes."""
    rate: float = Field(0.025, gt=0, le=1)
    """Step size of the weights."""

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return the weights and the first losses."""
        import torch

        class Known(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.names = list(names)
                self.register_buffer("weights", torch.ones(len(self.names), dtype=torch.float64))
                self.register_buffer("first", torch.zeros(len(self.names), dtype=torch.float64))

        return Known()

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return the weights as they are."""
        known: Any = state
        return {name: float(known.weights[known.names.index(name)]) for name in names}

    def weights_after(self, balance: Balance) -> Weights:
        """Return the weights that this step was made with, and move them for the next."""
        import torch

        known: Any = balance.state
        losses = torch.tensor([balance.losses[name] for name in known.names], dtype=torch.float64)
        if not bool((known.first > 0).all()):
            known.first.copy_(losses.clamp(min=1e-12))
        used = {name: float(known.weights[place]) for place, name in enumerate(known.names)}
        norms = balance.gram().diagonal().clamp(min=0).sqrt()
        sizes = known.weights * norms
        speed = losses / known.first
        target = sizes.mean() * (speed / speed.mean()) ** self.alpha
        # d |w_k n_k - target_k| / dw_k
        known.weights.sub_(self.rate * (torch.sign(sizes - target) * norms / norms.mean().clamp(min=1e-12)))
        known.weights.clamp_(min=1e-3)
        known.weights.mul_(len(known.names) / known.weights.sum())
        return used
