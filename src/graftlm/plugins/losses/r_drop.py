"""R-Drop: two passes with other dropout masks must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class RDrop(Loss):
    """The mean of the task's loss over two passes, and alpha times their symmetric Kullback-Leibler divergence.

    Tasks that do not choose a class take the mean squared difference of the outputs instead. A step costs two passes.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Liang et al. 2021, arXiv:2106.14448, equation 4 (the mean, not the sum, of the two losses)"
    when: ClassVar[str] = "Few rows and time for two passes; `supervised_contrastive` costs next to nothing."
    replaces_task_loss: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"second_pass"})
    alpha: float = Field(1.0, ge=0, le=100)
    """Weight of the divergence; 0.1 to 5 are usual."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse a model without dropout, whose two passes are the same."""
        if not any(getattr(part, "p", 0) for part in model.module.modules() if "Dropout" in type(part).__name__):
            return f"'{model.card.name}' has no dropout, so that two passes are the same"
        return None

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's terms."""
        from dataclasses import replace

        from torch.nn.functional import kl_div, mse_loss

        again = look.again()
        count = max(1, look.task.count(look.batch.targets))
        plain = (look.task.loss(look.outputs, look.batch.targets) + look.task.loss(again, look.batch.targets)) / 2
        if not look.task.chooses:
            return plain / count + self.alpha * mse_loss(look.outputs.logits, again.logits)
        one = choices(look)[0].log_softmax(-1)
        two = choices(replace(look, outputs=again))[0].log_softmax(-1)
        apart = kl_div(one, two, reduction="sum", log_target=True) + kl_div(two, one, reduction="sum", log_target=True)
        return (plain + self.alpha * apart / 2) / count
