"""Losses that hold each weight near where the run began, by what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, base_moves

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graftlm.contracts.method import Update
    from graftlm.contracts.model import Model


class AnchoredLoss(Loss):
    """The penalty 1/2 * sum over i of F_i * (w_i - w0_i)^2; what F is, each of them says."""

    wants_start: ClassVar[bool] = True
    step: Literal["gradient", "decoupled"] = "gradient"
    """Where the pull acts. gradient: in the loss, as in the paper; Adam steps about the rate however steep a penalty
    is, so that with a large strength weights swing round their anchors, and more of it holds less. decoupled: after
    each update, w <- w0 + (w - w0) / (1 + rate * strength * F), with F through its mean: it never goes past w0, more
    strength holds more, and a weight of mean worth is held about 1 / strength away."""
    strength: float = Field(100.0, ge=0)
    """Weight of this term in the sum."""

    def clashes(self, methods: Sequence[Any]) -> str | None:
        """Refuse where the base does not move."""
        return base_moves(methods)

    def held(self, first: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> nn.Module:
        """Return the run's object: anchors, and what each entry weighs, by name."""
        from graftlm.nn.importance import Held, relative

        return Held(first, relative(weights) if self.step == "decoupled" else weights)

    def after_update(self, model: Model, state: Any, update: Update) -> None:
        """Pull each weight back, where that is done apart from the gradient."""
        if self.step == "decoupled":
            state.pull(model.module, self.strength, update.rate)

    def __call__(self, look: Look) -> Tensor:
        """Return the penalty; zero where the pull is apart from the gradient."""
        if self.step == "decoupled":
            return look.outputs.logits.new_zeros(())
        penalty: Tensor = look.state.penalty(look.model.module)
        return penalty
