"""LoRA: low-rank updates beside frozen linear layers, folded in at the end."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import registry
from graftlm.core.errors import listing


class Lora(Method):
    """W + (alpha / rank) * B A with W frozen; only A, B and the head train.

    At the end the update is folded into W: the bundle is a plain model of the same size, as fast as the base.
    """

    source: ClassVar[str] = "Hu et al. 2022, arXiv:2106.09685, section 4; PEFT"
    when: ClassVar[str] = (
        "Few trained parameters, little optimizer memory; `full` where memory is no matter, `dora` a little nearer."
    )
    adapter: ClassVar[bool] = True
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "merges"
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update: alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout ahead of A."""
    rate: float = Field(5.0, gt=0, le=1000)
    """Learning rate of the adapters, as a multiple of the run's."""
    targets: Literal["all", "attention"] | list[str] = "all"
    """Linear layers of the blocks that are adapted: all, those of attention, or names ("query", "value")."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a rank above the width, layers that are not there, and a second method of adapters."""
        if self.rank > model.card.width:
            return f"rank is {self.rank}, but '{model.card.name}' is {model.card.width} wide"
        named = [name for name in setting.methods if name != self.name()]
        others = [name for name in named if getattr(registry.load("method", name), "adapter", False)]
        if others:
            return f"only one kind of adapter fits in a model, and the recipe has '{others[0]}' too"
        if not self._layers(model):
            there = sorted({name.rpartition(".")[2] for name in self._all(model)})
            return f"targets {self.targets} name no linear layer; '{model.card.name}' has {listing(there, 20)}"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in; they and the head train, and at the end they are folded into the weights."""
        from graftlm.core.optional import need
        from graftlm.nn import adapters

        peft: Any = need("peft", "peft", "The method 'lora'")
        layers = self._layers(model)

        if self.head == "probe":
            start_head(model, setting)
        names = adapters.inject(
            model.module,
            peft.LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,
                lora_dropout=self.dropout,
                target_modules=layers,
                fan_in_fan_out=adapters.transposed(model.module, layers),
                bias="none",
            ),
        )
        if model.head is not None:
            model.module.get_submodule(model.head).requires_grad_(True)

        def fold() -> None:
            adapters.merge(model.module)
            model.module.requires_grad_(True)

        return Adaptation(rates=dict.fromkeys(names, self.rate), finish=fold)

    def _all(self, model: Model) -> list[str]:
        from graftlm.nn import adapters

        return adapters.linear_layers(model.module, model.blocks)

    def _layers(self, model: Model) -> list[str]:
        names = self._all(model)
        if self.targets == "all":
            return names
        if self.targets == "attention":
            return [name for name in names if "att" in name.lower()]
        return [name for name in names if name.rpartition(".")[2] in self.targets]
