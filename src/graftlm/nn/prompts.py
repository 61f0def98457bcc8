"""Virtual tokens: learned vectors before a text, or learned keys and values before those of each block.

They stand before a plain base model without its callers seeing them: what comes out is that of the text alone, so that
heads and pooling read no virtual token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

NAME = "virtual_tokens"
"""Under which they stand in the base model."""
PREFIX = "PREFIX_TUNING"


class VirtualTokens(nn.Module):
    """Vectors (T, D) given by `encoder` for the numbers 0 to T - 1; `facts` are what PEFT's configuration says."""

    def __init__(self, encoder: nn.Module, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder, self.facts = encoder, dict(facts)

    def vectors(self) -> Tensor:
        """Return the vectors (T, D): of the word embedding's width, or keys and values of all blocks."""
        device = next(self.encoder.parameters()).device
        found: Tensor = self.encoder(torch.arange(self.facts["num_virtual_tokens"], device=device))
        return found

    def settle(self) -> None:
        """Keep the vectors themselves in place of what computes them."""
        with torch.no_grad():
            vectors = self.vectors().float()
        self.encoder = nn.Embedding.from_pretrained(vectors.clone(), freeze=False)

    def before(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Put the virtual tokens before what a base model is called with: a forward pre-hook."""
        given = dict(kwargs)
        if args:
            given["input_ids"] = args[0]
        ids, embeds = given.get("input_ids"), given.get("inputs_embeds")
        text: Any = ids if embeds is None else embeds
        count, real = self.facts["num_virtual_tokens"], given.get("attention_mask")
        real = torch.ones(text.shape[:2], dtype=torch.long, device=text.device) if real is None else real
        given["attention_mask"] = torch.cat([real.new_ones(len(real), count), real], dim=1)
        if self.facts["peft_type"] == PREFIX:
            given["past_key_values"] = self._cache(len(real))
        else:
            if embeds is None:
                embeds = module.get_input_embeddings()(given.pop("input_ids"))
            vectors = self.vectors().to(embeds.dtype)
            given["inputs_embeds"] = torch.cat([vectors.expand(len(embeds), -1, -1), embeds], dim=1)
            types = given.get("token_type_ids")
            if types is not None:
                given["token_type_ids"] = torch.cat([types.new_zeros(len(types), count), types], dim=1)
        return (), given

    def after(self, module: Any, args: Any, output: Any) -> Any:
        """Leave the states of the text alone in what a base model gives: a forward hook."""
        if self.facts["peft_type"] == PREFIX:
            output.past_key_values = None
            return output
        count = self.facts["num_virtual_tokens"]
        output.last_hidden_state = output.last_hidden_state[:, count:]
        if getattr(output, "hidden_states", None) is not None:
            output.hidden_states = tuple(states[:, count:] for states in output.hidden_states)
        if getattr(output, "attentions", None) is not None:
            output.attentions = tuple(each[:, :, count:, count:] for each in output.attentions)
        if getattr(output, "pooler_output", None) is not None:
            output.pooler_output = module.pooler(output.last_hidden_state)
        if getattr(output, "past_key_values", None) is not None:
            output.past_key_values = None
        return output

    def _cache(self, rows: int) -> Any:
        """Return keys and values (rows, heads, T, width of a head) of each block, cut as PEFT cuts the vectors."""
        from transformers import DynamicCache

        vectors, facts = self.vectors(), self.facts
        if torch.is_autocast_enabled(vectors.device.type):
            vectors = vectors.to(torch.get_autocast_dtype(vectors.device.type))
        heads = facts["num_attention_heads"]
        cut = vectors.view(len(vectors), 2 * facts["num_layers"], heads, facts["token_dim"] // heads)
        cut = cut.permute(1, 2, 0, 3).unsqueeze(1).expand(-1, rows, -1, -1, -1)
        cache: Any = DynamicCache()
        for block in range(facts["num_layers"]):
            cache.update(cut[2 * block], cut[2 * block + 1], block)
        return cache


def attach(base: nn.Module, tokens: VirtualTokens) -> None:
    """Put virtual tokens before a plain base model, in place."""
    base.add_module(NAME, tokens)
    base.register_forward_pre_hook(tokens.before, with_kwargs=True)
    base.register_forward_hook(tokens.after)


def put(base: nn.Module, facts: Mapping[str, Any], vectors: Tensor) -> None:
    """Put learned vectors before a plain base model, in eval mode and frozen."""
    attach(base, VirtualTokens(nn.Embedding.from_pretrained(vectors.float()), facts))
    base.requires_grad_(False).eval()


def inside(base: nn.Module) -> VirtualTokens | None:
    """Return the virtual tokens that stand before a base model, None where there are none."""
    found = base._modules.get(NAME)
    return found if isinstance(found, VirtualTokens) else None


@contextmanager
def lifted(module: nn.Module) -> Iterator[None]:
    """While in the block, no virtual tokens stand anywhere in a module."""
    found = [(part, tokens) for part in module.modules() if (tokens := inside(part)) is not None]
    for part, tokens in found:
        _detach(part, tokens)
    try:
        yield
    finally:
        for part, tokens in found:
            attach(part, tokens)


def _detach(base: nn.Module, tokens: VirtualTokens) -> None:
    """Take virtual tokens away; their hooks are found by whose they are, since a copied model has no handles."""
    for hooks in (base._forward_pre_hooks, base._forward_hooks):
        for key in [key for key, hook in hooks.items() if getattr(hook, "__self__", None) is tokens]:
            del hooks[key]
            base._forward_pre_hooks_with_kwargs.pop(key, None)
    del base._modules[NAME]
