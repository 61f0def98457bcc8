"""Interpolate between the pretrained and the fine-tuned weights at the end (WiSE-FT)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class WiseFt(Method):
    """(1 - share) * pretrained + share * trained, for the weights of the base; the head stays as trained.

    "Pretrained" means: as the run found them. From random weights the mean helps nothing. Evaluations during
    training look at the weights that train, so the best checkpoint is chosen before the interpolation.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Wortsman et al. 2022, arXiv:2109.01903, section 3, equation 2"
    when: ClassVar[str] = (
        "What the base knew must stay, at no cost in training; `freeze` keeps the lowest blocks whole."
    )
    share: float = Field(0.5, gt=0, lt=1)
    """Share of the trained weights; 1 would be plain fine-tuning, 0 the pretrained weights."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Keep the weights of the base; at the end each becomes the weighted mean."""
        import torch

        if self.head == "probe":
            start_head(model, setting)
        head = None if model.head is None else f"{model.head}."
        kept: dict[str, Tensor] = {
            name: parameter.detach().clone()
            for name, parameter in model.module.named_parameters()
            if name.startswith(f"{model.base}." if model.base else "")
            and not (head is not None and name.startswith(head))
        }

        def interpolate() -> None:
            # adapters are folded in by now: methods finish in reverse order
            with torch.no_grad():
                for name, start in kept.items():
                    parameter = model.module.get_parameter(name)
                    parameter.lerp_(start.to(parameter), 1 - self.share)

        return Adaptation(finish=interpolate)
