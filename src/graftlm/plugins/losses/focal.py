"""Focal loss: rows that are answered well already weigh less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, choices, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Focal(Loss):
    """-(1 - p)^gamma * ln p of the right class's probability p; gamma 0 is the cross-entropy."""

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Lin et al. 2017, arXiv:1708.02002, equation 4"
    when: ClassVar[str] = (
        "Most rows are easy and the rest matter; `class_weights` where the rare rows are those of rare classes."
    )
    replaces_task_loss: ClassVar[bool] = True
    gamma: float = Field(2.0, ge=0, le=10)
    """How much less the easy rows weigh."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose a class."""
        return only_choices(task)

    def __call__(self, look: Look) -> Tensor:
        """Return the mean focal loss."""
        logits, targets = choices(look)
        told = logits.log_softmax(-1).gather(-1, targets[:, None]).squeeze(-1)
        # 1 - p by expm1, so that p near one keeps its digits and the power a finite gradient
        missing = (-told.expm1()).clamp_min(1e-12)
        return -(missing**self.gamma * told).mean()
