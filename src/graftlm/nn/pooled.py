"""Encoder, pooling and dense layer: the three modules of Sentence Transformers as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.nn.pooling import POOLINGS


@dataclass(frozen=True, slots=True)
class PooledOutput:
    """Logits (B, C), the pooled vectors (B, H) they come from, and the encoder's extras."""

    logits: Tensor
    pooled: Tensor
    hidden_states: Any = None
    attentions: Any = None


class PooledModel(nn.Module):
    """A plain encoder, a pooling and a linear head.

    The encoder's own pooler is not part of it: a parameter without gradient breaks data parallelism.
    """

    def __init__(self, encoder: nn.Module, pooling: str, size: int, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
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
        """Return logits (B, C) for token ids and masks (B, L)."""
        asked = {"output_hidden_states": True} if output_hidden_states else {}
        if output_attentions:
            asked["output_attentions"] = True
        out = self.encoder(**inputs, **asked)
        mask = inputs.get("attention_mask")
        if mask is None:
            mask = torch.ones_like(inputs["input_ids"])
        pooled = POOLINGS[self.pooling](out.last_hidden_state, mask)
        logits = self.head(self.dropout(pooled))
        return PooledOutput(logits, pooled, getattr(out, "hidden_states", None), getattr(out, "attentions", None))


def _dropout(encoder: nn.Module) -> float:
    """Return the probability that the architecture's own classifier would use before its head."""
    config = encoder.config
    for name in ("classifier_dropout", "seq_classif_dropout", "hidden_dropout_prob"):
        value = getattr(config, name, None)
        if isinstance(value, float):
            return value
    return 0.0
