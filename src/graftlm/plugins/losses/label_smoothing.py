"""Label smoothing: the truth is the right class but for a little that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, choices, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class LabelSmoothing(Loss):
    """Cross-entropy against q = (1 - amount) * right + amount / C.

    Probabilities become less extreme; a teacher for distillation is better trained without (Mueller et al. 2019).
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567, section 7; Mueller et al. 2019, arXiv:1906.02629"
    when: ClassVar[str] = "Labels are partly wrong, or confidence is too high; not for a teacher of a distillation."
    replaces_task_loss: ClassVar[bool] = True
    amount: float = Field(0.1, ge=0, lt=1)
    """Share of the truth that all classes divide among them."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose a class."""
        return only_choices(task)

    def __call__(self, look: Look) -> Tensor:
        """Return the mean smoothed cross-entropy."""
        from torch.nn.functional import cross_entropy

        logits, targets = choices(look)
        return cross_entropy(logits, targets, label_smoothing=self.amount)
