"""Start the top blocks anew, since what they know is of the pretraining task."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import log, registry, seeds
from graftlm.core.errors import UserError


class ReinitTop(Method):
    """The pooler and the top k blocks are drawn anew: matrices from N(0, s^2), biases 0, scales of norms 1.

    s is the `initializer_range` of the base. Everything trains. What was set anew counts as new for methods and losses
    that hold pretrained weights. A base made for sentence vectors has its knowledge in the top blocks: leave it whole.
    """

    source: ClassVar[str] = "Zhang et al. 2021, arXiv:2006.05987, section 5; asappresearch/revisit-bert-finetuning"
    when: ClassVar[str] = "Few rows on a masked language model, where runs differ much; `layerwise_rates` is gentler."
    layers: int = Field(1, ge=1)
    """k: number of top blocks; of 6 blocks 1 or 2, of 24 up to 6. Chosen on the validation rows."""
    head: Literal["random", "probe"] = "random"
    """Where the head starts: the probe's solution belongs to the features that the old blocks gave."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse more blocks than there are, and methods that would leave them as they were drawn."""
        if self.layers > len(model.blocks):
            return f"layers is {self.layers}, but '{model.card.name}' has {len(model.blocks)} blocks"
        for other in setting.methods:
            found: Any = registry.load("method", other)
            if found.layout != "same" or found.freezes:
                return f"'{other}' does not train the matrices of the blocks, which would stay as they were drawn"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Draw the blocks anew."""
        import torch

        if self.head == "probe":
            start_head(model, setting)
        base = model.module.get_submodule(model.base)
        deviation = float(getattr(getattr(base, "config", None), "initializer_range", None) or 0.02)
        draw = torch.Generator().manual_seed(seeds.child(setting.seed, "reinit_top"))
        parts = [model.module.get_submodule(path) for path in model.blocks[-self.layers :]]
        pooler = getattr(base, "pooler", None)
        parts += [pooler] if isinstance(pooler, torch.nn.Module) else []
        with torch.no_grad():
            for name, parameter in ((n, p) for part in parts for n, p in part.named_parameters()):
                if parameter.ndim > 1:
                    parameter.copy_(deviation * torch.randn(parameter.shape, generator=draw))
                else:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        if model.card.pooling is not None:
            log.warn(
                f"reinit_top: '{model.card.name}' was made for sentence vectors, whose top blocks hold what it knows; "
                "look at the validation figure without it."
            )
        drawn = [parameter for part in parts for parameter in part.parameters()]

        def begin(ground: Ground) -> None:
            if not all(parameter.requires_grad for parameter in drawn):
                raise UserError(
                    f"reinit_top: another method freezes a part of the top {self.layers} blocks, which would stay as "
                    "they were drawn. Freeze fewer blocks."
                )

        return Adaptation(begin=begin)
