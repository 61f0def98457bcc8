"""Encoder, pooling and dense layer: the three modules of Sentence Transformers as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.nn.pooling import POOLINGS


@dataclass(frozen=True, slots=True)
class PooledOutput:
    """Logits (B, C), the pooled vectors (B, H) they come from (the same without a head), and the encoder's extras."""

    logits: Tensor
    pooled: Tensor
    hidden_states: Any = None
    attentions: Any = None


class PooledModel(nn.Module):
    """A plain encoder, a pooling and a linear head; without a head (`size` None) its answers are vectors of length one.

    The encoder's own pooler is not part of it: a parameter without gradient breaks data parallelism. With `once`,
    a text that stands several times in a batch is encoded once.
    """

    def __init__(self, encoder: nn.Module, pooling: str, size: int | None, width: int, *, once: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.once = once
        self.head: nn.Linear | None = None
        if size is None:
            return
        self.dropout = nn.Dropout(_dropout(encoder))
        self.head = nn.Linear(width, size)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def config(self) -> Any:
        """Return the encoder's configuration."""
        return self.encoder.config

    def forward(
        self, output_hidden_states: bool = False, output_attentions: bool = False, **inputs: Tensor
    ) -> PooledOutput:
        """Return logits (B, C), or vectors (B, H), for token ids and masks (B, L)."""
        asked = {"output_hidden_states": True} if output_hidden_states else {}
        if output_attentions:
            asked["output_attentions"] = True
        back = None
        if self.once and not asked:
            inputs, back = _distinct(inputs)
        out = self.encoder(**inputs, **asked)
        mask = inputs.get("attention_mask")
        if mask is None:
            mask = torch.ones_like(inputs["input_ids"])
        if self.head is None:
            # in full precision: vectors are compared with each other
            vectors = nn.functional.normalize(POOLINGS[self.pooling](out.last_hidden_state.float(), mask), dim=-1)
            vectors = vectors if back is None else vectors[back]
            return PooledOutput(vectors, vectors, getattr(out, "hidden_states", None), getattr(out, "attentions", None))
        pooled = POOLINGS[self.pooling](out.last_hidden_state, mask)
        logits = self.head(self.dropout(pooled))
        return PooledOutput(logits, pooled, getattr(out, "hidden_states", None), getattr(out, "attentions", None))


def _distinct(inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the distinct sequences of a batch, and for each row (B,) the number of its own."""
    ids = inputs["input_ids"]
    _, back = torch.unique(ids, dim=0, return_inverse=True)
    rows = torch.arange(len(ids), device=ids.device)
    first = rows.new_full((int(back.max()) + 1,), len(ids)).scatter_reduce(0, back, rows, "amin")
    return {name: tensor[first] for name, tensor in inputs.items()}, back


def _dropout(encoder: nn.Module) -> float:
    """Return the probability that the architecture's own classifier would use before its head."""
    config = encoder.config
    for name in ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob"):
        value = getattr(config, name, None)
        if isinstance(value, float):
            return value
    return 0.0
