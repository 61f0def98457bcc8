"""Bottleneck adapters beside the feed-forward blocks, or after the layers of a block."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from graftlm.contracts.adapters import one_adapter
from graftlm.contracts.method import Adaptation, Method, Setting, train_head_alone
from graftlm.contracts.model import Model
from graftlm.core import seeds


class Bottleneck(Method):
    """A narrow layer, up(f(down(x))), learns beside or after what is there; it and the head train, the rest is frozen.

    parallel: FFN(x) + scale * up(f(down(x))), f the block's own activation. That is the same as more inner features,
    so that the bundle is a plain model whose feed-forward blocks are width / reduction features wider. houlsby:
    h + scale * up(f(down(h))) after the attention and after the feed-forward block, before what went in is added;
    pfeiffer: after the feed-forward block alone. No plain class has these: the bundle holds them beside an unchanged
    base, and its card has the code that puts them on. The start is always the pretrained model (up is zero).
    """

    source: ClassVar[str] = (
        "Houlsby et al. 2019, arXiv:1902.00751, section 2.1; Pfeiffer et al. 2021, arXiv:2005.00247 (one adapter a "
        "block); parallel: He et al. 2022, arXiv:2110.04366, section 3.3"
    )
    when: ClassVar[str] = "New features should be learnt beside the old ones; `lora` leaves the model's size as it is."
    adapter: ClassVar[bool] = True
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "keeps"
    position: Literal["parallel", "houlsby", "pfeiffer"] = "parallel"
    """Where the adapters stand."""
    reduction: float = Field(16.0, ge=1, le=1024)
    """Width of the model through that of the bottleneck: larger means fewer parameters."""
    activation: Literal["auto", "relu", "gelu", "silu"] = "auto"
    """f; auto: relu for pfeiffer, silu for houlsby (AdapterHub's), the block's own for parallel."""
    scale: float = Field(1.0, gt=0, le=100)
    """What the adapter's output is multiplied by."""
    rate: float = Field(5.0, gt=0, le=1000)
    """Learning rate of the adapters, as a multiple of the run's."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    @model_validator(mode="after")
    def _own_activation(self) -> Bottleneck:
        if self.position == "parallel" and self.activation != "auto":
            raise ValueError("beside a block f is the block's own: leave `activation` out, or take another position")
        return self

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a second method of adapters, blocks that are not known, and a bundle that could not hold them."""
        if reason := one_adapter(self, setting):
            return reason
        if self.position != "parallel" and "." in model.base:
            return "several tasks share one backbone, whose bundle is a plain model: only position: parallel is one"
        if not self._layers(model):
            return f"the blocks of '{model.card.name}' ({model.card.architecture}) are not known here"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in; they and the head train. Those beside blocks are parts of wider blocks at the end."""
        from graftlm.nn import bottleneck

        train_head_alone(model, setting, solved=self.head == "probe")
        size, seed = max(1, round(model.card.width / self.reduction)), seeds.child(setting.seed, self.name())
        if self.position != "parallel":
            usual = "silu" if self.position == "houlsby" else "relu"
            own = usual if self.activation == "auto" else self.activation
            names = bottleneck.after(model.module, self._layers(model), size, self.scale, own, seed)
            return Adaptation(rates=dict.fromkeys(names, self.rate))
        blocks = bottleneck.feedforwards(model.module, model.blocks)
        names = bottleneck.beside(model.module, blocks, size, self.scale, seed)

        def finish() -> None:
            bottleneck.widen(model.module)
            model.module.requires_grad_(True)

        return Adaptation(rates=dict.fromkeys(names, self.rate), finish=finish)

    def _layers(self, model: Model) -> list[str]:
        """Return the layers that adapters stand at."""
        from graftlm.nn import bottleneck

        found = [block.outer for block in bottleneck.feedforwards(model.module, model.blocks)]
        return found + (bottleneck.attentions(model.module, model.blocks) if self.position == "houlsby" else [])
