"""Freeze the embeddings and the lowest blocks; the rest trains on their stored outputs."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from graftlm.contracts.method import Adaptation, Method, Setting, start_head
from graftlm.contracts.model import Model


class Freeze(Method):
    """The embeddings and the lowest k blocks do not change.

    They run without dropout, so their outputs are the same in each epoch: they are computed once and kept
    (where the architecture allows and nothing augments the rows), and later epochs cost only what trains.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Lee et al. 2019, arXiv:1911.03090 (What Would Elsa Do? Freezing Layers)"
    when: ClassVar[str] = "Much faster epochs for a little accuracy; `probe` freezes everything."
    layers: int | None = Field(None, ge=0)
    """Number of lowest blocks to freeze; None: two thirds of them."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution, or random weights."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse more blocks than there are."""
        count = len(model.blocks)
        if self.layers is not None and self.layers > count:
            return f"layers is {self.layers}, but '{model.card.name}' has {count} blocks"
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Freeze from below."""
        depth = 2 * len(model.blocks) // 3 if self.layers is None else self.layers
        for path in [*model.before, *model.blocks[:depth]]:
            model.module.get_submodule(path).requires_grad_(False)
        if self.head == "probe":
            start_head(model, setting)
        return Adaptation(frozen=depth)
