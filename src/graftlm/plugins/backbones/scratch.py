"""Random weights: the configuration and tokenizer of another model, or a size of a known architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.bytes import byte_tokenizer, trained_tokenizer
from graftlm.contracts.pretrained import from_config
from graftlm.contracts.reference import BackboneRef
from graftlm.core import seeds
from graftlm.core.errors import UserError

LIMIT = 512
"""Longest input in tokens, where nothing else is said."""
MOST_TEXTS = 200_000
"""Texts that a tokenizer is trained on at most: more hardly change its pieces, and cost memory."""
_DROPOUT = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "modernbert": ("embedding_dropout", "mlp_dropout", "attention_dropout"),
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "t5": ("dropout_rate",),
    "bart": ("dropout",),
}


class Scratch(Backbone):
    """A fresh model. With `like`, everything but the weights is taken from another backbone.

    Without `like`, `architecture` and the sizes describe it; `layers` counts those of a decoder beside an encoder
    once more. Its tokenizer works on bytes, or on pieces of words that are found in the training texts.
    """

    source: ClassVar[str] = "project"
    like: BackboneRef | None = None
    """Backbone whose configuration and tokenizer are used."""
    architecture: Literal["bert", "modernbert", "gpt2", "t5", "bart"] = "bert"
    """Architecture, where `like` is not given."""
    layers: int = Field(4, ge=1, le=128)
    """Number of blocks."""
    width: int = Field(256, ge=8, le=16_384)
    """Width of the states."""
    heads: int = Field(4, ge=1, le=256)
    """Attention heads; must divide the width."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of the states that is dropped while training; None: what is usual for the architecture."""
    tokenizer: Literal["bytes", "trained"] = "bytes"
    """What a token is: a byte, or a piece of a word, found in the training texts (byte-level BPE)."""
    vocabulary: int = Field(8000, ge=300, le=1_000_000)
    """Most pieces that a trained tokenizer has."""
    seed: int = Field(0, ge=0)
    """Seed of the weights, and of the sample of texts that a tokenizer is trained on."""

    @model_validator(mode="after")
    def _divides(self) -> Scratch:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    def open(self) -> Base:
        """Build the configuration; weights are drawn when the model is built."""
        if self.like is not None:
            return self._alike(self.like.open())
        if self.tokenizer == "trained":
            raise UserError(
                "The backbone 'scratch' with `tokenizer: trained` makes its tokenizer out of training texts, and there "
                "are none here. Use it in a run, or take `tokenizer: bytes`."
            )
        return self._opened(byte_tokenizer(self.max_length or LIMIT, start=self._starts))

    def open_on(self, texts: Callable[[], Iterable[str]]) -> Base:
        """Build the configuration, its tokenizer from a sample of the training texts where it is to be trained.

        Raises:
            UserError: the training texts are all empty.
        """
        if self.tokenizer == "bytes" or self.like is not None:
            return self.open() if self.like is None else self._alike(self.like.open_on(texts))
        sample = [text for text in texts() if text.strip()]
        if not sample:
            raise UserError("The backbone 'scratch' cannot train a tokenizer: the training texts are all empty.")
        if len(sample) > MOST_TEXTS:
            chosen = seeds.generator(self.seed, "tokenizer").permutation(len(sample))[:MOST_TEXTS]
            sample = [sample[number] for number in sorted(chosen.tolist())]
        limit = self.max_length or LIMIT
        return self._opened(trained_tokenizer(sample, limit, self.vocabulary, start=self._starts))

    @property
    def _starts(self) -> bool:
        """Tell whether a text begins with a token of its own: not where a decoder writes it."""
        return self.architecture not in ("t5", "bart")

    def _alike(self, base: Base) -> Base:
        facts: dict[str, Any] = {"pooling": base.card.pooling, "languages": base.card.languages}
        limit = min(self.max_length or base.card.limit, base.card.limit)
        name = f"{self.name()}-{base.card.name}"
        return from_config(base.config, base.tokenizer, name=name, seed=self.seed, limit=limit, **facts)

    def _opened(self, tokenizer: Any) -> Base:
        limit = self.max_length or LIMIT
        name = f"{self.name()}-{self.architecture}-{self.layers}x{self.width}"
        pooling = "mean" if self.architecture in ("bert", "modernbert") else None
        config = self._config(tokenizer, limit)
        return from_config(config, tokenizer, name=name, seed=self.seed, limit=limit, pooling=pooling)

    def _config(self, tokenizer: Any, limit: int) -> Any:
        from transformers import AutoConfig

        tokens = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.cls_token_id,
            "eos_token_id": tokenizer.sep_token_id,
        }
        if self.dropout is not None:
            tokens |= dict.fromkeys(_DROPOUT[self.architecture], self.dropout)
        if self.architecture == "gpt2":
            sizes = {"n_layer": self.layers, "n_embd": self.width, "n_head": self.heads, "n_positions": limit}
            return AutoConfig.for_model("gpt2", **sizes, **tokens)
        if self.architecture == "t5":
            return AutoConfig.for_model(
                "t5", d_model=self.width, d_kv=self.width // self.heads, d_ff=4 * self.width, num_layers=self.layers,
                num_decoder_layers=self.layers, num_heads=self.heads, n_positions=limit,
                decoder_start_token_id=tokenizer.pad_token_id, **tokens,
            )  # fmt: skip
        if self.architecture == "bart":
            half = {"layers": self.layers, "attention_heads": self.heads, "ffn_dim": 4 * self.width}
            halves = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in half.items()}
            return AutoConfig.for_model(
                "bart", d_model=self.width, max_position_embeddings=limit, **halves,
                decoder_start_token_id=tokenizer.pad_token_id, forced_eos_token_id=None, **tokens,
            )  # fmt: skip
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
