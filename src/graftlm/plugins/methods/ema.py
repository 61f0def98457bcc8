"""Keep a running mean of the weights, and judge and save that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Method, Setting, Update, one_average, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Ema(Method):
    """mean <- d * mean + (1 - d) * weights after each update t, with d = min(decay, (1 + t) / (10 + t)).

    The smaller d of the first updates keeps short runs from averaging in where they began. Validation rows, the
    bundle and the best checkpoint all see the mean; training goes on with the weights themselves.
    """

    source: ClassVar[str] = "Polyak and Juditsky 1992; Tan and Le 2019, arXiv:1905.11946, section 5.2 (decay, ramp-up)"
    when: ClassVar[str] = "Nearly free, and steadier validation scores; `swa` takes a plain mean of the last part."
    averages: ClassVar[bool] = True
    decay: float = Field(0.999, ge=0, lt=1)
    """d: share of the mean that stays at each update, once the run is long enough."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a second average of the weights."""
        return one_average(self, setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Follow the parameters that train."""
        import torch

        from graftlm.nn.kept import Kept, exchange, moving

        start_plain_head(model, setting)
        kept = Kept()
        parameters: list[Tensor] = []
        means: list[Tensor] = []

        def begin(ground: Ground) -> None:
            found = moving(model.module)
            kept.keep({name: parameter.detach().clone() for name, parameter in found.items()})
            parameters.extend(found.values())

        def follow(update: Update) -> None:
            if not means:  # only now: the tensors were moved to their device after they were made
                means.extend(kept.buffers())
            stays = min(self.decay, (1 + update.step) / (10 + update.step))
            with torch.no_grad():
                torch._foreach_lerp_(means, parameters, 1 - stays)

        def settle() -> Callable[[], None]:
            return exchange(parameters, kept.buffers())

        return Adaptation(state=kept, begin=begin, after_update=follow, settle=settle)
