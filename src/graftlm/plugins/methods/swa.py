"""Average the weights of the last part of the run (SWA), and judge and save the mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Method, Setting, Update, one_average, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Swa(Method):
    """mean <- (n * mean + weights) / (n + 1), every few updates from a share of the run on.

    Before that share the weights themselves are judged. The paper keeps the learning rate constant while it averages:
    set `train.schedule: constant`; with a rate that falls the mean holds weights that hardly differ.
    """

    source: ClassVar[str] = "Izmailov et al. 2018, arXiv:1803.05407, section 3, algorithm 1"
    when: ClassVar[str] = "A flat optimum from one run at a constant rate; `ema` needs no share to be chosen."
    averages: ClassVar[bool] = True
    start: float = Field(0.75, ge=0, lt=1)
    """Share of the planned updates after which averaging begins."""
    every: int = Field(10, ge=1)
    """Updates from one set of weights in the mean to the next."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a second average of the weights."""
        return one_average(self, setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Average the parameters that train."""
        import torch

        from graftlm.nn.kept import Kept, exchange, moving

        start_plain_head(model, setting)
        kept = Kept()
        parameters: dict[str, Tensor] = {}
        first = int(self.start * setting.steps)

        def begin(ground: Ground) -> None:
            parameters.update(moving(model.module))
            kept.keep({name: parameter.detach().clone() for name, parameter in parameters.items()})
            kept.keep({"count": torch.zeros((), dtype=torch.long)})

        def follow(update: Update) -> None:
            if update.step < first or (update.step - first) % self.every:
                return
            count = kept.get_buffer("count")
            count += 1
            with torch.no_grad():
                torch._foreach_lerp_(kept.of(parameters), list(parameters.values()), 1 / int(count))

        def settle() -> Callable[[], None]:
            found = kept.of(parameters) if int(kept.get_buffer("count")) else list(parameters.values())
            return exchange(parameters.values(), found)

        return Adaptation(state=kept, begin=begin, after_update=follow, settle=settle)
