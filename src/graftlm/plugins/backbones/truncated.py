"""Some blocks of another model: smaller and faster, with the knowledge of the blocks that stay."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.pretrained import card_of
from graftlm.contracts.reference import BackboneRef
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

FIRST_DIFFERS = ("modernbert",)
"""Architectures whose first block lacks a norm that the others have."""
COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")


class Truncated(Backbone):
    """Keeps the blocks named by `layers`, or the lowest `keep` of them (Sajjad et al. drop the top ones)."""

    source: ClassVar[str] = "Sajjad et al. 2020, arXiv:2004.03844, section 3 (top-layer dropping)"
    of: BackboneRef
    """The backbone whose blocks are taken."""
    keep: int | None = Field(None, ge=1)
    """Number of blocks that stay, from below; None with `layers` empty: half of them."""
    layers: tuple[int, ...] = ()
    """Numbers of the blocks that stay, counted from 0, ascending."""

    def open(self) -> Base:
        """Open the other backbone and note which blocks stay.

        Raises:
            UserError: a block is named that is not there, or the order is not ascending.
        """
        base = self.of.open()
        if base.card.stack == "encoder-decoder":
            raise UserError(
                f"'{base.card.name}' is an encoder with a decoder; blocks can be taken from one stack only."
            )
        count = len(base.card.blocks)
        kept = self.layers or tuple(range(self.keep or max(1, count // 2)))
        if list(kept) != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < count:
            raise UserError(
                f"'{base.card.name}' has blocks 0 to {count - 1}; the blocks to keep must be some of them in ascending "
                f"order, got {list(kept)}."
            )
        if base.config.model_type in FIRST_DIFFERS and kept[0] != 0:
            raise UserError(
                f"Block 0 of '{base.card.name}' is built unlike the others ({base.config.model_type}), so that a plain "
                f"checkpoint without it cannot be read back: it must stay; got blocks {list(kept)}."
            )
        config = self._shorter(base.config, kept)
        path = base.card.blocks[0].rpartition(".")[0]
        card = card_of(
            config,
            name=f"{base.card.name}-{len(kept)}-of-{count}",
            limit=min(self.max_length or base.card.limit, base.card.limit),
            **{f: getattr(base.card, f) for f in ("pooling", "pretrained", "licence", "languages", "revision")},
        )
        card = dataclasses.replace(card, notes=(f"blocks {list(kept)} of {base.card.hub_id or base.card.name}",))

        def build(auto_model: str, **changes: Any) -> nn.Module:
            from torch import nn

            model: Any = base.build(auto_model, **changes)
            inner = getattr(model, model.base_model_prefix, model)
            holder, _, name = path.rpartition(".")
            parent = inner.get_submodule(holder) if holder else inner
            blocks = getattr(parent, name)
            setattr(parent, name, nn.ModuleList([blocks[n] for n in kept]))
            for number, block in enumerate(getattr(parent, name)):
                for part in block.modules():
                    if hasattr(part, "layer_idx"):  # its place in a cache of keys and values
                        part.layer_idx = number
            for key in COUNTS:
                if hasattr(model.config, key):
                    setattr(model.config, key, len(kept))
            if getattr(model.config, "layer_types", None):
                model.config.layer_types = [model.config.layer_types[n] for n in kept]
            return model  # type: ignore[no-any-return]

        return Base(base.tokenizer, config, card, build)

    @staticmethod
    def _shorter(config: Any, kept: tuple[int, ...]) -> Any:
        shorter = copy.deepcopy(config)
        if getattr(shorter, "layer_types", None):
            shorter.layer_types = [shorter.layer_types[n] for n in kept]
        for key in COUNTS:
            if hasattr(shorter, key):
                setattr(shorter, key, len(kept))
        return shorter
