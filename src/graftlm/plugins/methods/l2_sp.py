"""Decay toward the pretrained weights instead of toward zero (L2-SP)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Method, Setting, Update, frozen_base, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class L2Sp(Method):
    """w <- w - rate * strength * (w - w0) after each update, apart from Adam's scaling; w0 is the pretrained value.

    It is the penalty strength / 2 * ||w - w0||^2, decoupled from the gradient as weight decay is in AdamW. What has no
    pretrained value (the head, layers that were set anew) is left to the optimizer's weight decay, the paper's second
    term; that decay also pulls the base to zero, so set `train.optimizer.weight_decay: 0` for the plain form.
    """

    source: ClassVar[str] = "Li et al. 2018, arXiv:1802.01483, equation 3; decoupled: Loshchilov and Hutter 2019"
    when: ClassVar[str] = "The base must not drift, at almost no cost; `ewc` weighs each weight by what it is worth."
    wants_start: ClassVar[bool] = True
    strength: float = Field(100.0, ge=0, le=1e6)
    """Pull toward the pretrained weights; rate * strength is the share of the way back at each update. Adam's step is
    about the rate, whatever the gradient: the two are in balance at a distance of about 1 / strength."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse where the base does not move."""
        return frozen_base(setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Pull after each update."""
        import torch

        from graftlm.nn.kept import anchors

        start_plain_head(model, setting)
        held: dict[str, Tensor] = {}

        def begin(ground: Ground) -> None:
            held.update(anchors(model.module, model.base, model.head, ground.start))

        def pull(update: Update) -> None:
            by_rate: dict[float, list[str]] = {}
            for name in held:
                by_rate.setdefault(update.rate(name), []).append(name)
            with torch.no_grad():
                for rate, names in by_rate.items():
                    parameters: list[Tensor] = [model.module.get_parameter(name) for name in names]
                    share = min(1.0, rate * self.strength)
                    torch._foreach_lerp_(parameters, [held[name] for name in names], share)

        return Adaptation(begin=begin, after_update=pull)
