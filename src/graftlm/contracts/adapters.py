"""What methods of adapters share: which layers they stand on, what trains, and the folding at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import registry
from graftlm.core.errors import listing


def one_adapter(method: Method, setting: Setting) -> str | None:
    """Return why a method of adapters or virtual tokens cannot be used beside the others, or None."""
    for name in setting.methods:
        if name != method.name() and getattr(registry.load("method", name), "adapter", False):
            return f"only one kind of adapter fits in a model, and the recipe has '{name}' too"
    return None


class AdapterMethod(Method):
    """Small parameters on frozen linear layers, by PEFT; they and the head train.

    With `merge` they are folded in at the end: the bundle is then a plain model of the base's size, as fast as the
    base. Without, the bundle is a plain PEFT adapter of a few megabytes beside the name of its base.
    """

    adapter: ClassVar[bool] = True
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "merges"
    only_merged: ClassVar[str] = ""
    """Why it cannot be kept as an adapter beside its base; empty: it can."""
    packages: ClassVar[Mapping[str, str]] = {"peft": "peft"}
    """Packages that it needs, each with the extra that brings it."""
    merge: bool = True
    """Whether the adapters are folded into the weights at the end; if not, the bundle is a PEFT adapter."""
    rate: float = Field(5.0, gt=0, le=1000)
    """Learning rate of the adapters, as a multiple of the run's."""
    targets: Literal["all", "attention"] | list[str] = "all"
    """Linear layers of the blocks that are adapted: all, those of attention, or names ("query", "value")."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    @abstractmethod
    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration; `shared` holds `target_modules` and `fan_in_fan_out`."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a rank above the width, layers that are not there, and a second method of adapters.

        Raises:
            MissingPackage: one of its packages is not installed.
        """
        from graftlm.core.optional import need

        rank = getattr(self, "rank", 0)
        if rank > model.card.width:
            return f"rank is {rank}, but '{model.card.name}' is {model.card.width} wide"
        if reason := one_adapter(self, setting):
            return reason
        if not self.merge and self.only_merged:
            return f"merge: false cannot be, since {self.only_merged}; set merge: true"
        if not self.merge and "." in model.base:
            return "the bundle of several tasks holds one backbone as a whole, with adapters folded in; set merge: true"
        if not self.layers(model):
            there = sorted({name.rpartition(".")[2] for name in self._all(model)})
            return f"targets {self.targets} name no linear layer; '{model.card.name}' has {listing(there, 20)}"
        for package, extra in self.packages.items():
            need(package, extra, f"The method '{self.name()}'")
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in; they and the head train, and at the end they are folded in or kept apart."""
        from graftlm.nn import adapters

        names = self.put(model, setting)

        def finish() -> None:
            if self.merge:
                adapters.merge(model.module)
                model.module.requires_grad_(True)
            else:
                self.keep_apart(model)

        return Adaptation(rates=dict.fromkeys(names, self.rate), finish=finish)

    def keep_apart(self, model: Model) -> None:
        """Give the trained adapters the form that they are kept in beside an unchanged base; most have it already."""

    def put(self, model: Model, setting: Setting) -> list[str]:
        """Put the adapters in and freeze all but them and the head; return the names of their parameters."""
        from graftlm.core.optional import need
        from graftlm.nn import adapters

        peft: Any = need("peft", "peft", f"The method '{self.name()}'")
        layers = self.layers(model)
        if self.head == "probe":
            start_head(model, setting)
        shared = {"target_modules": layers, "fan_in_fan_out": adapters.transposed(model.module, layers)}
        names = adapters.inject(model.module, self.config(peft, setting, layers, **shared))
        if model.head is not None:
            model.module.get_submodule(model.head).requires_grad_(True)
        return names

    def layers(self, model: Model) -> list[str]:
        """Return the names of the layers that are adapted."""
        names = self._all(model)
        if self.targets == "all":
            return names
        if self.targets == "attention":
            return [name for name in names if "att" in name.lower()]
        return [name for name in names if name.rpartition(".")[2] in self.targets]

    def _all(self, model: Model) -> list[str]:
        from graftlm.nn import adapters

        return adapters.linear_layers(model.module, model.blocks)
