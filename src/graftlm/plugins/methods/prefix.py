"""Prefix tuning: learned keys and values before those of the text in each block, the base frozen."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.method import Setting
from graftlm.contracts.model import Model
from graftlm.contracts.prompts import PromptMethod, base_of, facts

if TYPE_CHECKING:
    from graftlm.nn.prompts import VirtualTokens


class Prefix(PromptMethod):
    """softmax(q [P_K; K]^T) [P_V; V] in each block, with T learned rows in P_K and P_V; they and the head train.

    Rows are learned themselves, without a network before them, as in P-tuning v2.
    """

    source: ClassVar[str] = "Li & Liang 2021, arXiv:2101.00190; Liu et al. 2022, arXiv:2110.07602; PEFT's format"
    when: ClassVar[str] = "Reaches every block, so that it learns more than `prompt`; `lora` is as small and simpler."
    rate: float = Field(25.0, gt=0, le=10_000)
    """Learning rate of the prefixes, as a multiple of the run's."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse also architectures whose blocks take no keys and values of earlier tokens."""
        reason = super().refuses(model, setting)
        if reason is None and "past_key_values" not in inspect.signature(type(base_of(model)).forward).parameters:
            return (
                f"'{model.card.name}' ({model.card.architecture}) takes no keys and values of earlier tokens "
                "(past_key_values), before which a prefix could stand; take prompt, p_tuning or lora"
            )
        return reason

    def make(self, model: Model) -> VirtualTokens:
        """Draw the prefixes from the global generator, from a normal distribution as wide as BERT's weights."""
        import torch

        from graftlm.nn.prompts import VirtualTokens

        own = facts("PREFIX_TUNING", model, self.tokens)
        config = base_of(model).config
        shared = getattr(config, "num_key_value_heads", None) or own["num_attention_heads"]
        head = getattr(config, "head_dim", None) or model.card.width // own["num_attention_heads"]
        own |= {"num_attention_heads": shared, "token_dim": shared * head}
        vectors = torch.randn(self.tokens, 2 * own["num_layers"] * own["token_dim"]) * 0.02
        return VirtualTokens(torch.nn.Embedding.from_pretrained(vectors, freeze=False), own)
