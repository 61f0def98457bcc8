"""A twin of an encoder that gives the same answers sooner, in bf16 on a processor.

Weights lie in the order in which the matrix kernels read them, GELU is computed on the products before they are
rounded, attention is two plain products over a few heads at a time, and freed memory is kept for the next batch.
"""

from __future__ import annotations

import copy
import platform
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.nn import allocator

LONGEST = 1024
"""Tokens up to which plain products replace the fused kernel. Measured with batches of 1024 tokens, 12 heads of 32, one
thread: at 8 to 64 tokens it takes 1.2 to 3 times as long, at 128 to 1024 1.5 to 1.8 times."""

PIECE = 3 * 2**17
"""Attention weights that are computed at a time, so that they stay in a core's second-level cache."""

VECTOR = 16
"""Numbers of fp32 in one register of AVX-512."""

ATTENTION = "graftlm_pieces"


class PrepackedLinear(nn.Module):
    """A linear layer, and GELU on its result where `activation` says so; input (..., K), result (..., N)."""

    def __init__(self, layer: nn.Linear, activation: str) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.activation = activation
        self.packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)

    @property
    def weight(self) -> Tensor:
        """Return the weight (N, K) in the usual order, a copy."""
        return self.packed.to_dense()

    def forward(self, states: Tensor) -> Tensor:
        """Return the layer's result."""
        ran: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.packed, self.bias, self.activation, [], "none" if self.activation == "gelu" else ""
        )
        return ran


def suits(module: nn.Module, dtype: torch.dtype, device: torch.device) -> bool:
    """Tell whether a twin of a module in a number format on a device would be faster: an encoder in bf16 on a CPU."""
    if device.type != "cpu" or dtype != torch.bfloat16 or platform.machine() not in ("x86_64", "AMD64"):
        return False
    if not torch.backends.mkldnn.is_available():
        return False
    if not (hasattr(torch.ops.mkldnn, "_linear_pointwise") and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    return not any(getattr(part, "can_generate", bool)() for part in module.modules())


def sooner(module: nn.Module, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return the twin of a module where it would be faster, else the module itself."""
    if device.type == "cpu":
        allocator.keep_pages(allocator.OF_ANSWERS)
    return twin(module) if suits(module, dtype, device) else module


def twin(module: nn.Module) -> nn.Module:
    """Return a copy for inference that shares all other tensors with the module, which is not touched."""
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    made = copy.deepcopy(module, memo)
    uses = Counter(
        id(part.weight) for part in made.modules() if isinstance(getattr(part, "weight", None), nn.Parameter)
    )
    with torch.no_grad():
        for parent in list(made.modules()):
            fused = _gelu_after(parent)
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear) and _plain(layer) and uses[id(layer.weight)] == 1:
                    setattr(parent, name, PrepackedLinear(layer, "gelu" if layer is fused else "none"))
                    if layer is fused:
                        parent.intermediate_act_fn = nn.Identity()
    _shorten(made)
    return made


def _plain(layer: nn.Module) -> bool:
    """Tell whether a layer is a linear layer in bf16 and nothing but that."""
    return (
        type(layer) is nn.Linear
        and layer.weight.dtype == torch.bfloat16
        and not (layer._forward_hooks or layer._forward_pre_hooks)
    )


def _gelu_after(parent: nn.Module) -> nn.Module | None:
    """Return the layer that exact GELU follows at once, as BERT, RoBERTa and their kin name the two."""
    layer, activation = getattr(parent, "dense", None), getattr(parent, "intermediate_act_fn", None)
    exact = (isinstance(activation, nn.GELU) and activation.approximate == "none") or (
        type(activation).__name__ == "GELUActivation" and getattr(activation, "act", None) is nn.functional.gelu
    )
    return layer if exact and isinstance(layer, nn.Module) and _plain(layer) else None


def _shorten(module: nn.Module) -> None:
    """Let a module that has fused attention choose by what each batch brings."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    holders = [part for part in module.modules() if hasattr(part, "config") and hasattr(part, "base_model_prefix")]
    configs: list[Any] = [part.config for part in holders]
    fused = [config for config in configs if getattr(config, "_attn_implementation", None) == "sdpa"]
    if fused:
        AttentionInterface.register(ATTENTION, attend)
        AttentionMaskInterface.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    for config in fused:
        config._attn_implementation = ATTENTION


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **given: Any
) -> tuple[Tensor, Tensor | None]:
    """Attend from query to key and value (B, heads, L, D); the mask is (B, 1, L, L), true where a token is seen.

    Whatever else a model brings (position biases, causal order, grouped heads) is left to the fused kernel.
    """
    plain = attention_mask.dtype == torch.bool if attention_mask is not None else not getattr(module, "is_causal", True)
    plain &= key.size(2) <= LONGEST and key.size(1) == query.size(1)
    if not plain or any(name == "is_causal" or isinstance(item, Tensor) for name, item in given.items()):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **given)
    return _in_pieces(query, key, value, attention_mask, given.get("scaling")), None


def _in_pieces(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Return the attended values (B, L, heads, D), a few sequences or a few heads at a time."""
    batch, heads, length, width = query.shape
    scaling = width**-0.5 if scaling is None else scaling
    room = max(1, PIECE // (length * length))
    rows, some = max(1, room // heads), min(heads, room)
    ends = _ends(mask) if mask is not None and rows == 1 else None
    found = query.new_empty(batch, length, heads, value.size(-1))
    for begin in range(0, batch, rows):
        of = slice(begin, begin + rows)
        # the padding behind a text needs no weights; any other mask is laid over them
        seen = ends[begin] if ends is not None else 0
        hidden = None if mask is None or seen else mask[of].logical_not()
        keys, values = (tensor[of, :, : seen or length] for tensor in (key, value))
        for head in range(0, heads, some):
            there = slice(head, head + some)
            weights = torch.matmul(query[of, there], keys[:, there].transpose(2, 3)).float()
            weights.mul_(scaling)
            if hidden is not None:
                weights.masked_fill_(hidden, torch.finfo(torch.float32).min)
            part = torch.matmul(_softmax(weights).to(value.dtype), values[:, there])
            found[of, :, there] = part.transpose(1, 2)
    return found


def _ends(mask: Tensor) -> list[int]:
    """Return how many keys each row of a mask (B, 1, L, L) shows if they are its first; 0 where it is otherwise."""
    shown = mask[:, 0, 0]
    ends = shown.sum(-1)
    first = torch.arange(shown.size(-1), device=mask.device) < ends[:, None]
    plain = (shown == first).all(-1) & (mask[:, 0] == shown[:, None]).flatten(1).all(-1)
    counted: list[int] = (ends * plain).tolist()
    return counted


def _softmax(weights: Tensor) -> Tensor:
    """Return the softmax over the last dimension; the input may be overwritten."""
    if weights.size(-1) >= VECTOR:
        return weights.softmax(-1)
    # torch's own goes row by row, which for rows shorter than a vector takes three times as long
    weights.sub_(weights.amax(-1, keepdim=True)).exp_()
    return weights.div_(weights.sum(-1, keepdim=True))
