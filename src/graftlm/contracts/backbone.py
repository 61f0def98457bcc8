"""Backbones: where a pretrained (or fresh) model comes from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a base model.

    `blocks` and `embeddings` are module paths inside the base model, in the order of the forward
    pass, `before` what else the states pass ahead of the first block (a table of positions of its own, say);
    `pooling` is what the checkpoint declares ("mean", "cls", "max") or None; `limit` the
    longest input in tokens; `prefix_cacheable` tells whether frozen lower blocks may be replaced by
    their stored outputs. `stack` says what it is made of: an "encoder" reads, a "decoder" reads and goes on
    writing, an "encoder-decoder" reads with one and writes with the other (its blocks are those of both).
    `embedded` is the SHA-256 of the weights' file, where a package of this name holds them wherever it is installed.
    """

    name: str
    architecture: str
    width: int
    blocks: tuple[str, ...]
    embeddings: str
    limit: int
    pooling: str | None = None
    prefix_cacheable: bool = False
    pretrained: bool = True
    licence: str = "unknown"
    revision: str | None = None
    hub_id: str | None = None
    languages: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    before: tuple[str, ...] = ()
    stack: Literal["encoder", "decoder", "encoder-decoder"] = "encoder"
    embedded: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """An opened base model: tokenizer and configuration at once, weights only when `build` is called.

    `build(auto_model, **config)` returns the model of a class of Transformers ("AutoModel",
    "AutoModelForSequenceClassification", ...) with the base's weights, configuration values changed
    as given (`num_labels`, `id2label`, ...). With `complete=True` every tensor must come from the checkpoint, those of
    the head too: a UserError says which are missing.
    """

    tokenizer: Any
    config: Any
    card: Card
    build: Callable[..., nn.Module] = field(repr=False)


class Backbone(Plugin):
    """Opens one kind of base model."""

    kind: ClassVar[str] = "backbone"
    source: ClassVar[str] = "project"
    pooling: Literal["auto", "native", "mean", "cls", "max"] = "auto"
    """How token states become one vector: as the checkpoint declares, else the architecture's own way."""
    max_length: int | None = None
    """Longest input in tokens; None: what the model and the lengths in the data allow."""

    @abstractmethod
    def open(self) -> Base:
        """Find the model and read its tokenizer and configuration; weights stay on disk.

        Raises:
            UserError: it cannot be found or used; the message names the ways out.
        """

    def open_on(self, texts: Callable[[], Iterable[str]]) -> Base:
        """Open the model for a run whose training texts `texts()` yields; most backbones do not look at them.

        Raises:
            UserError: as `open`.
        """
        return self.open()

    @classmethod
    def claims(cls, name: str) -> float:
        """Return the confidence in [0, 1] that `--base NAME` means this backbone."""
        return 1.0 if name == cls.name() else 0.0

    @classmethod
    def named(cls, name: str) -> dict[str, Any]:
        """Return the fields for `--base NAME`, once `claims` has won."""
        return {}

    @classmethod
    def published(cls, name: str, revision: str) -> dict[str, Any] | None:
        """Return the fields that open one revision of a published model, None where this kind knows none."""
        return None
