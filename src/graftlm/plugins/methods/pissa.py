"""PiSSA: LoRA that starts from the largest singular directions of each weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Setting


class Pissa(AdapterMethod):
    """A and B start as the first singular values and vectors of W, and W keeps the rest; A, B and the head train.

    Folded into the weights at the end.
    """

    source: ClassVar[str] = "Meng et al. 2024, arXiv:2404.02948, section 3; PEFT"
    when: ClassVar[str] = (
        "Converges faster than `lora` at the same rank; moves what the model knows best, so it forgets more."
    )
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.LoraConfig(r=self.rank, lora_alpha=self.rank, bias="none", init_lora_weights="pissa", **shared)
