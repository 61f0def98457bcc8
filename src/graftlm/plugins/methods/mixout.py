"""Swap random weights for the pretrained ones at each step (Mixout)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model
from graftlm.core import registry, seeds

if TYPE_CHECKING:
    from torch import Tensor


class Mixout(Method):
    """w0 + M * (w - w0) / (1 - p) in place of w, with M one at a share 1 - p of the entries, drawn for each step.

    The gradient of w is that of the mixed weights times M / (1 - p). It holds for the matrices of the linear layers
    below the head; biases, norms and embeddings are not mixed. The reference draws one row of a mask for all outputs
    and leaves 1 / (1 - p) out of the gradient; neither is done here. p is rounded to 1/256.
    """

    source: ClassVar[str] = "Lee et al. 2020, arXiv:1909.11299, equation 5; bloodwass/mixout:mixout/mixout.py"
    when: ClassVar[str] = "Few rows on a large base; `l2_sp` holds the same weights more gently and costs less."
    wants_start: ClassVar[bool] = True
    probability: float = Field(0.7, gt=0, lt=1)
    """p: share of the entries that are swapped; the paper takes 0.7 to 0.9, later work 0.1."""
    dropout: Literal["off", "keep"] = "off"
    """Whether the model's own dropout is switched off while training, as in the paper."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse methods that freeze the matrices, and losses that need the dropout that is switched off."""
        for other in setting.methods:
            if getattr(registry.load("method", other), "layout", "same") != "same":
                return f"'{other}' freezes the base, whose weights are to be mixed; take one of the two"
        if self.dropout == "off":
            for loss in setting.losses:
                if "second_pass" in getattr(registry.load("loss", loss), "needs", ()):
                    return f"the loss '{loss}' compares two dropout masks, and dropout is off; set dropout: keep"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Switch dropout off; mix round each gradient."""
        import torch
        from torch import nn

        from graftlm.nn.kept import Counter, anchors
        from graftlm.nn.masks import random_masks

        start_plain_head(model, setting)
        dropouts = [part for part in model.module.modules() if type(part) is nn.Dropout]
        before = [part.p for part in dropouts]
        if self.dropout == "off":
            for part in dropouts:
                part.p = 0.0
        counter = Counter()
        held: dict[str, Tensor] = {}

        def begin(ground: Ground) -> None:
            linear = {f"{name}.weight" for name, part in model.module.named_modules() if isinstance(part, nn.Linear)}
            found = anchors(model.module, model.base, model.head, ground.start)
            held.update({name: first for name, first in found.items() if name in linear})

        def mixed(parameters: list[Any]) -> list[Any]:
            """Put the mixed weights in; return the masks, 1 / (1 - p) or zero."""
            masks = random_masks(parameters, 1 - self.probability, seeds.child(setting.seed, "mixout", counter.done()))
            for parameter, first, mask in zip(parameters, held.values(), masks, strict=True):
                torch.addcmul(first, mask, parameter - first, out=parameter)
            return masks

        def wrap(inner: Inner) -> Inner:
            parameters: list[Tensor] = [model.module.get_parameter(name) for name in held]

            def gradient(batches: Any) -> float:
                if not parameters:
                    return inner(batches)
                with torch.no_grad():
                    kept = [p.detach().clone() for p in parameters]
                    masks = mixed(parameters)
                try:
                    loss = inner(batches)
                finally:  # a step that runs out of memory is made again from the same weights
                    with torch.no_grad():
                        torch._foreach_copy_(parameters, kept)
                with torch.no_grad():
                    for parameter, mask in zip(parameters, masks, strict=True):
                        if parameter.grad is not None:
                            parameter.grad.mul_(mask)
                return loss

            return gradient

        def restore() -> None:
            for part, probability in zip(dropouts, before, strict=True):
                part.p = probability

        return Adaptation(wrap=wrap, begin=begin, state=counter, after_update=counter.count, finish=restore)
