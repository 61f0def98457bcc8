"""Vectors of one class come together, those of others move apart, beside the task's own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class SupervisedContrastive(Loss):
    """(1 - share) * CE + share * the mean over i of -1 / |P(i)| * the sum over p in P(i) of ln s_ip.

    s_ip = exp(z_i z_p / T) / sum over a != i of exp(z_i z_a / T), P(i) are the other rows of i's class in the batch.
    z is the sequence's vector at norm one: the pooled one, else the mean of its last states. Rows whose class has no
    other row in the batch add nothing, but count in the mean. Micro-batches are batches here.
    """

    source: ClassVar[str] = "Khosla et al. 2020, arXiv:2004.11362, equation 2; Gunel et al. 2021, arXiv:2011.01403"
    when: ClassVar[str] = (
        "Few rows a class, and batches that hold several of each; `r_drop` looks at each row by itself."
    )
    replaces_task_loss: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_states"})
    share: float = Field(0.5, ge=0, le=1)
    """Share of the contrastive term; 0.1 to 0.9 are usual."""
    temperature: float = Field(0.3, gt=0, le=100)
    """T: smaller looks harder at the nearest rows; 0.07 in the first paper, 0.3 for fine-tuning."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose one class for a sequence."""
        reason = only_choices(task)
        if reason is None and (not task.pooled or task.together):
            return f"it compares sequences by their class, and the task '{task.name()}' does not give each one class"
        return reason

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's rows."""
        import torch

        from graftlm.nn.importance import vector

        targets = look.batch.targets
        plain = look.task.loss(look.outputs, targets) / max(1, look.task.count(targets))
        z = torch.nn.functional.normalize(vector(look.outputs, look.batch.inputs["attention_mask"]), dim=-1)
        alike = z @ z.T / self.temperature
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        told = alike - alike.masked_fill(itself, float("-inf")).logsumexp(1, keepdim=True)
        friends = (targets[:, None] == targets[None, :]) & ~itself
        count = friends.sum(1)
        # a batch of one row has nothing to compare: its sum over others is empty, not minus infinity
        pulled = torch.where(friends, told, torch.zeros_like(told)).sum(1) / count.clamp_min(1)
        return (1 - self.share) * plain - self.share * pulled.mean()
