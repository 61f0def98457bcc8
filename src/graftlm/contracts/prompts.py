"""What methods of virtual tokens share: a frozen base, learned vectors before it, and a head."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.adapters import one_adapter
from graftlm.contracts.method import Adaptation, Method, Setting, train_head_alone
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from graftlm.nn.prompts import VirtualTokens

_RESERVED = {"roberta": 2, "xlm-roberta": 2}
"""Positions that begin after the padding index."""


class PromptMethod(Method):
    """Learned vectors before a frozen base; they and the head train, and the bundle is a plain PEFT adapter.

    What the base gives is cut to the states of the text, so that heads and pooling read no virtual token.
    """

    adapter: ClassVar[bool] = True
    freezes: ClassVar[bool] = True
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "keeps"
    merge: bool = False
    """Only false: virtual tokens stand before the text and have no weight to be folded into."""
    tokens: int = Field(20, ge=1, le=1000)
    """Number of virtual tokens."""
    rate: float = Field(50.0, gt=0, le=10_000)
    """Learning rate of the virtual tokens, as a multiple of the run's."""
    head: Literal["probe", "random"] = "probe"
    """Where the head starts: the probe's solution on the text alone, or random weights."""

    @abstractmethod
    def make(self, model: Model) -> VirtualTokens:
        """Return the virtual tokens for a model, where training starts."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse merging, a second kind of adapter, models that write, shared backbones, and texts without room."""
        if self.merge:
            return "virtual tokens cannot be merged: they stand before the text, not in a weight; set merge: false"
        if reason := one_adapter(self, setting):
            return reason
        if model.card.stack == "encoder-decoder" or setting.task.writes_with:
            return "answers are written token by token, over states of their own that virtual tokens would have to join"
        if "." in model.base:
            return "several tasks share one plain backbone, before which no virtual tokens stand"
        room = getattr(base_of(model).config, "max_position_embeddings", None)
        room = None if room is None else room - _RESERVED.get(model.card.architecture, 0)
        if room is not None and self.tokens + (setting.limit or 1) > room:
            left = room - self.tokens
            advice = f"set backbone.max_length to at most {left}, or fewer tokens" if left > 0 else "set fewer tokens"
            return (
                f"{self.tokens} virtual tokens and texts of up to {setting.limit or 1} tokens are more than the {room} "
                f"positions of '{model.card.name}'; {advice}"
            )
        return None

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Freeze the model but for its head, and put virtual tokens before its base."""
        from graftlm.nn import prompts

        train_head_alone(model, setting, solved=self.head == "probe")
        made = self.make(model)
        prompts.attach(base_of(model), made)
        inside = f"{model.base}." if model.base else ""
        names = [f"{inside}{prompts.NAME}.{name}" for name, _ in made.named_parameters()]
        return Adaptation(rates=dict.fromkeys(names, self.rate), finish=made.settle, perturbs=True)


def base_of(model: Model) -> Any:
    """Return the plain base model."""
    return model.module.get_submodule(model.base)


def facts(kind: str, model: Model, tokens: int) -> dict[str, Any]:
    """Return what PEFT's configuration of a kind of virtual tokens says of a model.

    Where several heads share keys and values, those of a prefix are as many and as wide as these.
    """
    config = base_of(model).config
    heads = int(config.num_attention_heads)
    return {
        "peft_type": kind,
        "num_virtual_tokens": tokens,
        "token_dim": model.card.width,
        "num_transformer_submodules": 1,
        "num_attention_heads": heads,
        "num_layers": len(model.card.blocks),
    }
