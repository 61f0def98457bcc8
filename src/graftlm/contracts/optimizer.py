"""Optimizers: how a gradient becomes an update."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class Optimizer(Plugin):
    """Builds a torch optimizer over parameter groups.

    `elementwise` says that a parameter entry whose gradient was always zero never moves (apart from
    weight decay): what the working vocabulary needs.
    """

    kind: ClassVar[str] = "optimizer"
    elementwise: ClassVar[bool] = False
    rate: float | None = Field(None, gt=0, le=10)
    """Peak learning rate; None: chosen by the size of the data, and said."""
    weight_decay: float = Field(0.01, ge=0, le=1)
    """Decoupled weight decay on matrices; biases, norms and embeddings are never decayed."""

    def typical_rate(self) -> float:
        """Return the factor on the recipe's standard rate that suits this optimizer."""
        return 1.0

    @abstractmethod
    def build(self, groups: Iterable[dict[str, Any]], rate: float) -> TorchOptimizer:
        """Return the optimizer; each group has `params`, `lr` and `weight_decay` already."""
