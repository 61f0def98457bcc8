"""Cross-entropy in which rare classes weigh more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss, choices, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor, nn


class ClassWeights(Loss):
    """w_y * -ln p_y, with w_c as 1 / n_c (balanced) or as (1 - beta) / (1 - beta^n_c) (effective numbers).

    n_c counts class c among the training rows. The weights are scaled so that their mean over the training rows is 1:
    the learning rate keeps its meaning. Probabilities are then those of evenly spread classes.
    """

    source: ClassVar[str] = "King and Zeng 2001, section 4.2 (balanced); Cui et al. 2019, arXiv:1901.05555, equation 2"
    when: ClassVar[str] = "Rare classes matter as much as common ones; `focal` weighs by how hard a row is."
    replaces_task_loss: ClassVar[bool] = True
    scheme: Literal["balanced", "effective"] = "balanced"
    """How a class' weight follows from its number of rows."""
    beta: float = Field(0.999, ge=0, lt=1)
    """For `effective`: 0 weighs all classes alike, towards 1 it becomes balanced; 0.9 to 0.9999 are usual."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose a class."""
        return only_choices(task)

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Count the classes."""
        import torch

        from graftlm.nn.kept import Kept

        size = ground.space.size
        counts = torch.zeros(size, dtype=torch.float64)
        for start in range(0, len(ground.targets), 4096):
            stacked = ground.task.stack(ground.targets[start : start + 4096]).flatten()
            counts += torch.bincount(stacked[stacked != -100], minlength=size)[:size]
        if self.scheme == "balanced":
            weights = 1 / counts.clamp_min(1)
        else:
            weights = (1 - self.beta) / (1 - self.beta ** counts.clamp_min(1))
        weights = weights * counts.sum().clamp_min(1) / (weights * counts).sum().clamp_min(1e-12)
        return Kept({"weights": weights.float()})

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's terms: divided by their number, not by their weights."""
        from torch.nn.functional import cross_entropy

        logits, targets = choices(look)
        weights = look.state.get_buffer("weights").to(logits) if look.state is not None else None
        return cross_entropy(logits, targets, weight=weights, reduction="sum") / max(1, len(targets))
