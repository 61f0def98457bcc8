"""Train the scales and shifts of the norms and the head alone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model
from graftlm.core import registry


class NormOnly(Method):
    """The parameters of every norm layer train, and the head; all else is frozen."""

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Qi et al. 2022, arXiv:2211.08682 (LN-tuning); Zhao et al. 2023, arXiv:2312.11420"
    when: ClassVar[str] = "The fewest trained parameters, also without biases; `bias_only` trains a few more."
    freezes: ClassVar[bool] = True
    rate: float = Field(10.0, gt=0, le=1000)
    """Learning rate of the norms, as a multiple of the run's; the head keeps the run's."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a base without norms, and methods that freeze the base to train parameters of their own."""
        if not _norms(model):
            return f"'{model.card.name}' has no norm layers with parameters"
        for other in setting.methods:
            loaded: Any = registry.load("method", other)
            if loaded.layout != "same":
                return f"'{other}' freezes the base and its norms with it; take one of the two"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Freeze all that is neither of a norm nor of the head; what another method froze stays frozen."""
        if self.head == "probe":
            start_head(model, setting)
        norms = set(_norms(model))
        for name, parameter in model.module.named_parameters():
            if name not in norms and not (model.head is not None and name.startswith(f"{model.head}.")):
                parameter.requires_grad_(False)
        return Adaptation(rates=dict.fromkeys(norms, self.rate))


def _norms(model: Model) -> list[str]:
    """Return the names of the parameters of the norms; architectures with a class of their own name it ...Norm."""
    found: list[str] = []
    modules: Any = model.module.get_submodule(model.base).named_modules(prefix=model.base)
    for path, part in modules:
        if type(part).__name__.endswith("Norm"):
            found += [f"{path}.{name}" for name, _ in part.named_parameters(recurse=False)]
    return found
