"""Random weights: the configuration and tokenizer of another model, or a size of a known architecture."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.bytes import byte_tokenizer
from graftlm.contracts.pretrained import from_config
from graftlm.contracts.reference import BackboneRef


class Scratch(Backbone):
    """A fresh model. With `like`, everything but the weights is taken from another backbone.

    Without `like`, `architecture` and the sizes describe it, and its tokenizer works on bytes.
    """

    source: ClassVar[str] = "project"
    like: BackboneRef | None = None
    """Backbone whose configuration and tokenizer are used."""
    architecture: Literal["bert", "modernbert", "gpt2"] = "bert"
    """Architecture, where `like` is not given."""
    layers: int = Field(4, ge=1, le=128)
    """Number of blocks."""
    width: int = Field(256, ge=8, le=16_384)
    """Width of the states."""
    heads: int = Field(4, ge=1, le=256)
    """Attention heads; must divide the width."""
    seed: int = Field(0, ge=0)
    """Seed of the weights."""

    @model_validator(mode="after")
    def _divides(self) -> Scratch:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    def open(self) -> Base:
        """Build the configuration; weights are drawn when the model is built."""
        if self.like is not None:
            base = self.like.open()
            facts: dict[str, Any] = {"pooling": base.card.pooling, "languages": base.card.languages}
            limit = min(self.max_length or base.card.limit, base.card.limit)
            name = f"{self.name()}-{base.card.name}"
            return from_config(base.config, base.tokenizer, name=name, seed=self.seed, limit=limit, **facts)
        limit = self.max_length or 512
        tokenizer = byte_tokenizer(limit)
        name = f"{self.name()}-{self.architecture}-{self.layers}x{self.width}"
        pooling = None if self.architecture == "gpt2" else "mean"
        return from_config(self._config(tokenizer, limit), tokenizer, name=name, seed=self.seed, pooling=pooling)

    def _config(self, tokenizer: Any, limit: int) -> Any:
        from transformers import AutoConfig

        tokens = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
        }
        if self.architecture == "gpt2":
            sizes = {"n_layer": self.layers, "n_embd": self.width, "n_head": self.heads, "n_positions": limit}
            return AutoConfig.for_model("gpt2", **sizes, **tokens)
        sizes = {
            "num_hidden_layers": self.layers,
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "max_position_embeddings": limit,
            "intermediate_size": 4 * self.width if self.architecture == "bert" else 3 * self.width // 2,
        }
        if self.architecture == "modernbert":
            tokens |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        return AutoConfig.for_model(self.architecture, **sizes, **tokens)
