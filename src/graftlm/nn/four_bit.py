"""Linear layers whose weights are held in 4 bits by bitsandbytes: blocks of 64 values, each with a scale."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graftlm.nn import adapters

BLOCK = 64
"""Values that share a scale."""
SCALES = 256
"""Scales that share one in turn, where they are held in 8 bits."""


class _Product(torch.autograd.Function):
    """x W^T with W worked out from its 4 bits, and again on the way back: no graph holds it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FourBitLinear) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(x, layer.unpacked(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0] @ ctx.layer.unpacked(grads[0].dtype), None


class FourBitLinear(nn.Linear):
    """Stands for a linear layer (Conv1D of GPT-2 too): its weight in 4 bits.

    Products are computed in the format that a plain layer would use (autocast's, else that of the input), or in
    `compute`. `weight` (out, in) is worked out anew at each look.
    """

    def __init__(
        self, layer: Any, kind: Literal["nf4", "fp4"], double: bool, compute: torch.dtype | None, device: str
    ) -> None:
        from bitsandbytes import functional

        nn.Module.__init__(self)
        weight = layer.weight.detach().to(device, torch.float32)
        weight = weight.T if adapters.turned(layer) else weight
        self.out_features, self.in_features = weight.shape
        # a row for each scale: kernels for processors (0.50) mistake the scales of rows that begin within a block
        blocks = nn.functional.pad(weight.reshape(-1), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
        packed, state = functional.quantize_4bit(blocks, blocksize=BLOCK, quant_type=kind)
        scales, held = state.absmax, {"levels": state.code}
        if double:
            held["mean"] = scales.mean()
            codes = _codes().to(device)
            scales, outer = functional.quantize_blockwise(scales - held["mean"], code=codes, blocksize=SCALES)
            held |= {"codes": outer.code, "outer": outer.absmax}
        self.kind, self.nested, self.compute = kind, double, compute
        self.packed = nn.Parameter(packed, requires_grad=False)
        self.register_parameter("bias", layer.bias)
        for name, tensor in {"scales": scales, **held}.items():
            # not saved, so that a copy in another number format keeps them as they are
            self.register_buffer(name, tensor, persistent=False)
        self.format = nn.Parameter(torch.empty(0, device=device), requires_grad=False)
        bare = copy.copy(layer)
        bare._parameters = {}
        self.bare = [bare]  # in a list: no part of this layer

    def unpacked(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the weight (out, in) that the packed numbers stand for."""
        from bitsandbytes.functional import QuantState, dequantize_4bit

        count = self.out_features * self.in_features
        rows = torch.Size((-(-count // BLOCK), BLOCK))
        state = QuantState(self.scales, rows, self.levels, BLOCK, self.kind, dtype)
        if self.nested:
            state.nested, state.offset = True, self.mean
            state.state2 = QuantState(self.outer, code=self.codes, blocksize=SCALES, dtype=torch.float32)
        found: Tensor = dequantize_4bit(self.packed, state)
        return found.view(-1)[:count].view(self.out_features, self.in_features)

    def __getattr__(self, name: str) -> Any:
        """Return a part of the layer; its weight in a floating format, by which T5 chooses that of its states."""
        return self.unpacked(self.format.dtype) if name == "weight" else super().__getattr__(name)

    def forward(self, input: Tensor) -> Tensor:
        """Return the products (..., out) with the bias added."""
        kind = input.device.type
        given = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else input.dtype
        compute = self.compute or given
        with torch.autocast(kind, enabled=False):
            found: Tensor = _Product.apply(input.to(compute), self)
            bias = self._parameters["bias"]
            found = found if bias is None else found + bias.to(compute)
        return found.to(given)

    def plain(self, update: Tensor | None) -> nn.Module:
        """Return such a layer as stood here, in main memory, with `update` (out, in) added to the weight.

        Raises:
            ValueError: a weight is not finite.
        """
        weight = self.unpacked() if update is None else self.unpacked() + update.float()
        if not weight.isfinite().all():
            raise ValueError("expected finite weights; got infinite ones or NaN in a layer with its update")
        layer: nn.Module = copy.copy(self.bare[0])
        weight = (weight.T if adapters.turned(layer) else weight).contiguous()
        layer._parameters = {"weight": nn.Parameter(weight.cpu()), "bias": self._parameters["bias"]}
        return layer.train(self.training)


@functools.cache
def _codes() -> Tensor:
    """Return the 256 numbers of 8 bits for scales, real ones also where a run is followed without numbers."""
    from bitsandbytes.functional import create_dynamic_map
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with unset_fake_temporarily():
        found: Tensor = create_dynamic_map()
        return found


def quantize(module: nn.Module, names: Sequence[str], **options: Any) -> None:
    """Put layers of 4 bits in place of the named linear ones; the weights that they had are let go."""
    for name in names:
        adapters.place(module, name, FourBitLinear(module.get_submodule(name), **options))


def dequantize(module: nn.Module, updates: Mapping[str, Tensor]) -> None:
    """Put plain layers back, updates (out, in) by name added; the whole module lies in main memory afterwards.

    Raises:
        ValueError: a weight is not finite.
    """
    for name, part in list(module.named_modules()):
        if isinstance(part, FourBitLinear):
            adapters.place(module, name, part.plain(updates.get(name)))
    module.to("cpu")


__all__ = ["FourBitLinear", "dequantize", "quantize"]
