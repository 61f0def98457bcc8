"""Adafactor: second moments kept as one row and one column for each matrix, for models that fill the memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.optimizer import Optimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class Adafactor(Optimizer):
    """Divide the gradient by the root of a rank-one estimate of its square, and clip the update's root mean square.

    The state of an (n, m) matrix takes n + m numbers instead of AdamW's 2nm. The rate is an absolute
    one, as with AdamW, and follows the recipe's schedule: the paper's relative steps scale with the
    size of the parameter, which starves a head that begins at zero. Rows share their estimate, so a
    row without gradient may not be left out (`elementwise` is False). Prefer `adamw` where its state fits.
    """

    source: ClassVar[str] = "Shazeer and Stern 2018, arXiv 1804.04235, algorithms 4 and 5; transformers.Adafactor"
    elementwise: ClassVar[bool] = False
    clip_threshold: float = Field(1.0, gt=0)
    """Largest root mean square of an update, before the rate."""
    decay: float = Field(0.8, gt=0, lt=1)
    """The running mean of the squared gradient keeps `1 - step ** -decay` of itself (section 7.2 of the paper)."""
    eps: float = Field(1e-30, gt=0, lt=1)
    """Added to the squared gradient."""

    def build(self, groups: Iterable[dict[str, Any]], rate: float) -> TorchOptimizer:
        """Return Transformers' Adafactor with absolute steps and without momentum."""
        from transformers.optimization import Adafactor as TransformersAdafactor

        return TransformersAdafactor(
            [{**group, "params": list(group["params"])} for group in groups],
            lr=rate,
            eps=(self.eps, 1e-3),
            clip_threshold=self.clip_threshold,
            decay_rate=-self.decay,
            weight_decay=self.weight_decay,
            scale_parameter=False,
            relative_step=False,
            warmup_init=False,
        )
