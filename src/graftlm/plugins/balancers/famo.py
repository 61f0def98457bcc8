"""Weights that make all losses fall at the same relative speed, from losses alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Weights

if TYPE_CHECKING:
    from torch import nn


class Famo(Balancer):
    """L = sum of z_k ln(L_k - b_k) / c, z = softmax(xi), c = sum of z_k / (L_k - b_k), b the losses' lower bounds.

    After the update xi moves by Adam along the Jacobian of z times ln L(before) - ln L(after): tasks that fell least
    gain weight. The price is one more forward pass; gradients are kept apart until all losses are known.
    """

    source: ClassVar[str] = "Liu et al. 2023, arXiv:2306.03792, algorithm 1"
    when: ClassVar[str] = "Losses that fall at very different speed; `nash_mtl` looks at gradients too."
    needs_gradients: ClassVar[bool] = True
    needs_second_look: ClassVar[bool] = True
    rate: float = Field(0.025, gt=0, le=1)
    """Adam's step size for xi."""
    decay: float = Field(1e-3, ge=0, le=1)
    """Decay of xi toward 0 (the paper's gamma; the authors' code has 0.01 as its default)."""
    bound: float = 0.0
    """b: what no loss goes below."""

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return xi and Adam's moments."""
        from graftlm.nn.stepping import Stepping

        return Stepping(list(names))

    def weights_after(self, balance: Balance) -> Weights:
        """Return z_k / (L_k - b_k) / c."""
        known: Any = balance.state
        shares = known.value.softmax(0).tolist()
        parts = [z / self._above(balance.losses[n]) for z, n in zip(shares, known.names, strict=True)]
        return {name: part / sum(parts) for name, part in zip(known.names, parts, strict=True)}

    def look_again(self, balance: Balance, after: Mapping[str, float]) -> None:
        """Move xi by one step of Adam (betas 0.9 and 0.999) with decay in the gradient, as the authors do."""
        import torch

        known: Any = balance.state
        fall = (
            torch.tensor([self._above(balance.losses[n]) for n in known.names], dtype=torch.float64).log()
            - torch.tensor([self._above(after[n]) for n in known.names], dtype=torch.float64).log()
        )
        z = known.value.softmax(0)
        slope = z * (fall - (z * fall).sum()) + self.decay * known.value
        known.move(slope, self.rate)

    def _above(self, loss: float) -> float:
        return max(loss - self.bound, 1e-8)
