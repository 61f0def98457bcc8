"""IA3: one learnt scale for each key, value and inner feature, folded in at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Setting
from graftlm.contracts.model import Model

KEYS = (
    "key", "key_proj", "k_proj", "k_lin", "k", "value", "value_proj", "v_proj", "v_lin", "v",
    "c_attn", "Wqkv", "qkv_proj", "query_key_value",
)  # fmt: skip
"""Layers whose outputs are keys or values (all three at once in some architectures)."""
INNER = ("output.dense", "ffn_output", "down_proj", "lin2", "wo", "Wo", "mlp.c_proj", "fc2", "dense_4h_to_h")
"""Layers that read the inner features of a feed-forward block."""


class Ia3(AdapterMethod):
    """l_k * K, l_v * V and l_ff * f(W x), with l learnt vectors that start at one; they and the head train.

    A feed-forward block's scale stands on the inputs of its second layer. Three vectors a block: some hundredths of a
    percent of the parameters.
    """

    source: ClassVar[str] = "Liu et al. 2022, arXiv:2205.05638, section 3.3; PEFT"
    when: ClassVar[str] = "The fewest parameters of all, for few rows; `lora` learns more where there are more rows."
    rate: float = Field(15.0, gt=0, le=1000)
    """Learning rate of the scales, as a multiple of the run's (the paper trains them at 3e-3)."""
    targets: Literal["all", "attention"] | list[str] = "all"
    """"all": keys, values and the inner features; "attention": keys and values; or names of layers, all scaled at
    their outputs but for those that read inner features."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        inner = [name for name in layers if _inner(name)]
        return peft.IA3Config(feedforward_modules=inner, **shared)

    def layers(self, model: Model) -> list[str]:
        """Return the names of the layers with a scale."""
        names = self._all(model)
        if isinstance(self.targets, list):
            return [name for name in names if name.rpartition(".")[2] in self.targets]
        keys = [name for name in names if name.rpartition(".")[2] in KEYS]
        return keys + [name for name in names if self.targets == "all" and _inner(name)]


def _inner(name: str) -> bool:
    return name.endswith(tuple(f".{end}" for end in INNER)) and ".attention." not in name and ".attn." not in name
