"""The model in training: the module, its parts by name, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from graftlm.contracts.backbone import Card

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Model:
    """One model for one task.

    `style` is "native" (a whole `AutoModelFor...`) or "pooled" (encoder, pooling, dense). `base` is
    the path of the plain base model inside `module` (empty: it is `module` itself), `head` that of the last
    linear layer, None where a task has none. Calling `module(**inputs)` gives an object with `.logits`.
    """

    module: nn.Module
    tokenizer: Any
    card: Card
    style: Literal["native", "pooled"]
    base: str
    head: str | None
    auto_model: str

    @property
    def blocks(self) -> list[str]:
        """Return the paths of the blocks inside `module`, in order."""
        return [self._inside(path) for path in self.card.blocks]

    @property
    def embeddings(self) -> str:
        """Return the path of the embeddings inside `module`."""
        return self._inside(self.card.embeddings)

    @property
    def before(self) -> list[str]:
        """Return the paths inside `module` of everything that the states pass ahead of the first block."""
        return [self.embeddings, *(self._inside(path) for path in self.card.before)]

    def _inside(self, path: str) -> str:
        return f"{self.base}.{path}" if self.base else path
