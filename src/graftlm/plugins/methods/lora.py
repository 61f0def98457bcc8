"""LoRA: low-rank updates beside frozen linear layers, folded in at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Setting


class Lora(AdapterMethod):
    """W + (alpha / rank) * B A with W frozen; only A, B and the head train.

    At the end the update is folded into W: the bundle is a plain model of the same size, as fast as the base.
    """

    sharded: ClassVar[bool] = True
    source: ClassVar[str] = "Hu et al. 2022, arXiv:2106.09685, section 4; PEFT"
    when: ClassVar[str] = (
        "Few trained parameters, little optimizer memory; `full` where memory is no matter, `dora` a little nearer."
    )
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update: alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout ahead of A."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, bias="none", **shared)
