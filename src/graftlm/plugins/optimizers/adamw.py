"""AdamW: Adam with decoupled weight decay, the fused kernel where the device has one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from graftlm.contracts.optimizer import Optimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer

FUSED = ("cpu", "cuda", "mps", "xpu")

Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamW(Optimizer):
    """Update `p -= rate * (m / (sqrt(v) + eps) + weight_decay * p)` with bias-corrected moments m and v.

    The standard choice for fine-tuning; `adafactor` keeps far less state, `sgd` almost none.
    """

    source: ClassVar[str] = "Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2; torch.optim.AdamW"
    elementwise: ClassVar[bool] = True
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running mean of the gradient and of its square."""
    eps: float = Field(1e-8, gt=0, le=1)
    """Added to the denominator."""

    def build(self, groups: Iterable[dict[str, Any]], rate: float) -> TorchOptimizer:
        """Return torch's AdamW; fused when every parameter is a floating-point tensor on a device that can."""
        from torch.optim import AdamW as TorchAdamW

        kept = [{**group, "params": list(group["params"])} for group in groups]
        fused = all(p.is_floating_point() and p.device.type in FUSED for group in kept for p in group["params"])
        return TorchAdamW(kept, lr=rate, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused)
