"""Answers must stay near those that the model gave before training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss, choices, only_choices
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor, nn


class KlToBase(Loss):
    """KL(p0 || p), or KL(p || p0), of the answers p0 of the pretrained base with the head as training starts it.

    p0 is taken without dropout. With a head that starts from the probe's solution p0 is the probe's answer; with one
    of a pretrained language model it is the model's own. A step costs one more forward pass, without gradient.
    """

    source: ClassVar[str] = "Ziegler et al. 2019, arXiv:1909.08593, section 2; Jaques et al. 2017, arXiv:1611.02796"
    when: ClassVar[str] = (
        "Answers of the base, or of its probe, are worth keeping; `lwf` holds the vectors, or an old head's answers."
    )
    wants_start: ClassVar[bool] = True
    direction: Literal["base", "model"] = "base"
    """base: KL(p0 || p), p must cover p0; model: KL(p || p0), p must stay where p0 is."""
    strength: float = Field(1.0, ge=0)
    """Weight of this term in the sum."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Refuse tasks that do not choose a class."""
        return only_choices(task)

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Put the head as it starts on the pretrained base."""
        from graftlm.nn.teachers import Aside, pretrained

        return Aside(pretrained(ground.model.module, ground.model.head, ground.start))

    def __call__(self, look: Look) -> Tensor:
        """Return the mean over the batch's terms."""
        from dataclasses import replace

        from torch.nn.functional import kl_div

        base = look.state.answer(look)
        one = choices(look)[0].log_softmax(-1)
        two = choices(replace(look, outputs=base))[0].log_softmax(-1)
        if self.direction == "model":
            one, two = two, one
        return kl_div(one, two, reduction="sum", log_target=True) / max(1, len(one))
