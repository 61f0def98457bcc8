"""Train the biases and the head alone (BitFit)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import registry


class BiasOnly(Method):
    """Every parameter named `bias` trains, the norms' too, and the head; all else is frozen."""

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Ben Zaken et al. 2022, arXiv:2106.10199, section 3 (BitFit)"
    when: ClassVar[str] = "Few rows, and few trained parameters without adapters; `full` with many rows."
    freezes: ClassVar[bool] = True
    rate: float = Field(10.0, gt=0, le=1000)
    """Learning rate of the biases, as a multiple of the run's; the head keeps the run's."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a base without biases, and methods that freeze the base to train parameters of their own."""
        if not any(_is_bias(name) for name, _ in model.module.get_submodule(model.base).named_parameters()):
            return f"'{model.card.name}' has no biases; `norm_only` trains the scales of its norms"
        for other in setting.methods:
            loaded: Any = registry.load("method", other)
            if loaded.layout != "same":
                return f"'{other}' freezes the base and its biases with it; take one of the two"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Freeze all that is neither a bias nor of the head; what another method froze stays frozen."""
        if self.head == "probe":
            start_head(model, setting)
        rates: dict[str, float] = {}
        for name, parameter in model.module.named_parameters():
            if model.head is not None and name.startswith(f"{model.head}."):
                continue
            if _is_bias(name):
                rates[name] = self.rate
            else:
                parameter.requires_grad_(False)
        return Adaptation(rates=rates)


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"
