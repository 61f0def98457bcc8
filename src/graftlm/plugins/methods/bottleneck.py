"""Bottleneck adapters beside the feed-forward blocks; at the end they are plain, a little wider blocks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import registry, seeds


class Bottleneck(Method):
    """FFN(x) + scale * up(f(down(x))), f the block's own activation; adapters and head train, the rest is frozen.

    The start is the pretrained model (up is zero). Beside a block (parallel), an adapter is the same as more inner
    features: the bundle is a plain model whose feed-forward blocks are width / reduction features wider.
    """

    source: ClassVar[str] = (
        "Houlsby et al. 2019, arXiv:1902.00751, section 2.1; the parallel position: He et al. 2022, arXiv:2110.04366, "
        "section 3.3"
    )
    when: ClassVar[str] = (
        "Feed-forward blocks should learn new features beside the old; `lora` leaves the size as it is."
    )
    adapter: ClassVar[bool] = True
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "keeps"
    reduction: float = Field(16.0, ge=1, le=1024)
    """Width of the model through that of the bottleneck: larger means fewer parameters."""
    scale: float = Field(1.0, gt=0, le=100)
    """What the adapter's output is multiplied by."""
    rate: float = Field(5.0, gt=0, le=1000)
    """Learning rate of the adapters, as a multiple of the run's."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a second method of adapters, and blocks whose feed-forward layers are not known."""
        from graftlm.nn import bottleneck

        others = [
            name
            for name in setting.methods
            if name != self.name() and getattr(registry.load("method", name), "adapter", False)
        ]
        if others:
            return f"only one kind of adapter fits in a model, and the recipe has '{others[0]}' too"
        if not bottleneck.feedforwards(model.module, model.blocks):
            return f"the feed-forward blocks of '{model.card.name}' ({model.card.architecture}) are not known here"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in; they and the head train, and at the end they are parts of wider blocks."""
        from graftlm.nn import bottleneck

        if self.head == "probe":
            start_head(model, setting)
        model.module.requires_grad_(False)
        if model.head is not None:
            model.module.get_submodule(model.head).requires_grad_(True)
        blocks = bottleneck.feedforwards(model.module, model.blocks)
        size = max(1, round(model.card.width / self.reduction))
        names = bottleneck.beside(model.module, blocks, size, self.scale, seeds.child(setting.seed, self.name()))

        def finish() -> None:
            bottleneck.widen(model.module)
            model.module.requires_grad_(True)

        return Adaptation(rates=dict.fromkeys(names, self.rate), finish=finish)
