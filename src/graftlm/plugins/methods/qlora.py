"""QLoRA: LoRA on a base whose linear layers are held in 4 bits while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.method import Adaptation, Setting, other_device
from graftlm.contracts.model import Model


class Qlora(AdapterMethod):
    """Q(W) + (alpha / rank) * B A, where Q rounds each value to one of 16 levels times a scale that 64 of them share.

    All linear layers of the blocks are held so; A, B and the head train. At the end the update is added to the rounded
    weights: the bundle is a plain model of the base's size, which answers as the trained one does.
    """

    source: ClassVar[str] = "Dettmers et al. 2023, arXiv:2305.14314, sections 2 and 3; bitsandbytes; PEFT"
    when: ClassVar[str] = (
        "A GPU that cannot hold the base's weights in fp32 while they train; where it can, `lora` is faster and rounds "
        "nothing."
    )
    only_merged: ClassVar[str] = (
        "read beside the base as it is, without the rounding it was trained on, the adapter would answer otherwise"
    )
    packages: ClassVar[Mapping[str, str]] = {"peft": "peft", "bitsandbytes": "qlora"}
    devices: ClassVar[tuple[str, ...]] = ("cuda",)  # on a processor a step is many times slower than with `lora`
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update: alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout ahead of A."""
    quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 16 levels: quantiles of a normal distribution, or floating-point numbers of 4 bits."""
    double_quant: bool = True
    """Whether the scales are held in 8 bits: 4.13 bits for a weight instead of 4.5."""
    compute_dtype: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the products with rounded weights; auto is the run's (`train.precision`)."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, bias="none", **shared)

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse a device without kernels for 4 bits, and what no method of adapters can."""
        if (reason := other_device(self, setting)) is not None:
            return f"{reason}; take `lora`, which trains everywhere, or a machine with a GPU"
        return super().refuses(model, setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Round the weights, put the adapters beside them; at the end plain layers with both come back."""
        import torch

        from graftlm.nn import adapters, four_bit

        compute = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}[self.compute_dtype]
        four_bit.quantize(
            model.module, self._all(model),
            kind=self.quant_type, double=self.double_quant, compute=compute, device=setting.device,
        )  # fmt: skip

        def finish() -> None:
            updates = {name: b @ a for name, (a, b) in adapters.lora_factors(model.module).items()}
            adapters.take_out(model.module)
            four_bit.dequantize(model.module, updates)
            model.module.requires_grad_(True)

        return replace(super().apply(model, setting), finish=finish)
