"""DoRA: LoRA for the direction of a weight, and its length trained beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Setting


class Dora(AdapterMethod):
    """m * V / |V| with V = W + (alpha / rank) * B A, lengths by output row; m, A, B and the head train.

    Folded into the weights at the end. A step costs more than one of `lora`.
    """

    source: ClassVar[str] = "Liu et al. 2024, arXiv:2402.09353, equation 5; PEFT"
    when: ClassVar[str] = "Where `lora` stays behind `full` and ranks are small; slower than `lora`."
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update: alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout ahead of A."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, bias="none", use_dora=True, **shared
        )
