"""Random weights, two small blocks, bytes as tokens: for tests, needs nothing on disk."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.bytes import byte_tokenizer
from graftlm.contracts.pretrained import from_config


class Tiny(Backbone):
    """A BERT of two blocks, 32 wide, that knows nothing."""

    source: ClassVar[str] = "project"
    width: int = Field(32, ge=4, le=256, multiple_of=4)
    """Width of the states."""
    layers: int = Field(2, ge=1, le=12)
    """Number of blocks."""
    seed: int = Field(0, ge=0)
    """Seed of the weights."""

    def open(self) -> Base:
        """Build it."""
        from transformers import BertConfig

        limit = self.max_length or 128
        tokenizer = byte_tokenizer(limit)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=4,
            intermediate_size=2 * self.width,
            max_position_embeddings=max(limit, 128),
            pad_token_id=tokenizer.pad_token_id,
        )
        return from_config(config, tokenizer, name=self.name(), seed=self.seed, limit=limit, pooling="mean")
