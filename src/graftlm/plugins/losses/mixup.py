"""Train on mixtures of two rows and of their labels (mixup)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.loss import Look, Loss, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Mixup(Loss):
    """m * CE(f(x~), y_i) + (1 - m) * CE(f(x~), y_j), with x~ = m * x_i + (1 - m) * x_j and m drawn from Beta(a, a).

    Each row i is mixed with a row j of the same batch, all with one m. `words` mixes the word embeddings: the longer
    of the two texts is read whole, in a second forward pass. `sentence` mixes what goes into the head: the head is
    linear, so that this is the same mixture of what comes out of it, and costs nothing.
    """

    source: ClassVar[str] = "Zhang et al. 2018, arXiv:1710.09412, section 2; Guo et al. 2019, arXiv:1905.08941"
    when: ClassVar[str] = "Few rows, and confidence that is too high; `r_drop` where a second pass is affordable."
    replaces_task_loss: ClassVar[bool] = True
    where: Literal["sentence", "words"] = "sentence"
    """What is mixed: the input of the head, or the word embeddings."""
    a: float = Field(0.2, gt=0, le=100)
    """Of Beta(a, a): small values leave most rows nearly whole, 1 draws m evenly."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose one class for a sequence, and models without a head."""
        reason = only_choices(task)
        if reason is None and (not task.pooled or task.together):
            return f"it mixes sequences and their classes, and the task '{task.name()}' does not give each one class"
        if reason is None and self.where == "words" and model.style == "native" and model.card.stack == "decoder":
            return (
                f"'{model.card.name}' answers from the last token of a text, which two texts of other lengths do not "
                "have in common; take where: sentence"
            )
        return reason or ("the model has no head" if model.head is None else None)

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's rows."""
        import torch
        from torch.nn.functional import cross_entropy

        from graftlm.nn.perturbation import edited

        targets = look.batch.targets
        order = torch.randperm(len(targets)).to(targets.device)
        share = float(torch.distributions.Beta(self.a, self.a).sample())

        def mixed(x: Tensor) -> Tensor:
            return share * x + (1 - share) * x[order]

        if self.where == "words":
            module, inputs = look.model.module, dict(look.batch.inputs)
            inputs["attention_mask"] = inputs["attention_mask"] | inputs["attention_mask"][order]
            with edited(module, lambda output, real: mixed(output)):
                logits = look.run(module, inputs).logits
        else:
            logits = mixed(look.outputs.logits)
        own, other = cross_entropy(logits, targets), cross_entropy(logits, targets[order])
        return share * own + (1 - share) * other
