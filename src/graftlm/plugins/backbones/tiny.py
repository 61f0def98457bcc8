"""Random weights, two small blocks, bytes as tokens: for tests, needs nothing on disk."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.bytes import byte_tokenizer
from graftlm.contracts.pretrained import from_config


class Tiny(Backbone):
    """A BERT (or GPT-2, or T5) of two blocks, 32 wide, that knows nothing."""

    source: ClassVar[str] = "project"
    architecture: Literal["bert", "gpt2", "t5"] = "bert"
    """What it is built like."""
    width: int = Field(32, ge=4, le=256, multiple_of=4)
    """Width of the states."""
    layers: int = Field(2, ge=1, le=12)
    """Number of blocks."""
    seed: int = Field(0, ge=0)
    """Seed of the weights."""

    def open(self) -> Base:
        """Build it."""
        from transformers import AutoConfig

        limit = self.max_length or 128
        tokenizer = byte_tokenizer(limit, start=self.architecture != "t5")
        tokens = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
        sizes: dict[str, dict[str, Any]] = {
            "bert": {
                "hidden_size": self.width,
                "num_hidden_layers": self.layers,
                "num_attention_heads": 4,
                "intermediate_size": 2 * self.width,
                "max_position_embeddings": max(limit, 128),
            },
            "gpt2": {"n_embd": self.width, "n_layer": self.layers, "n_head": 4, "n_positions": max(limit, 128), **ends},
            "t5": {
                "d_model": self.width,
                "d_kv": self.width // 4,
                "d_ff": 2 * self.width,
                "num_layers": self.layers,
                "num_heads": 4,
                "decoder_start_token_id": tokenizer.pad_token_id,
                **ends,
            },
        }
        config = AutoConfig.for_model(self.architecture, **sizes[self.architecture], **tokens)
        pooling = "mean" if self.architecture == "bert" else None
        return from_config(config, tokenizer, name=self.name(), seed=self.seed, limit=limit, pooling=pooling)
