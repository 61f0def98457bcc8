"""Bottleneck adapters: a narrow layer beside the feed-forward layers of a block, or after layers of it.

Beside: the inner layer gets more features, and the outer one reads them. That is a plain, wider block, so that `widen`
leaves nothing but larger matrices. After: h + scale * up(f(down(h))) of a layer's output h, which no plain block has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

KIND = "BOTTLENECK"
"""What a bundle calls adapters after layers; PEFT knows no such kind, and refuses it."""
FEEDFORWARD: tuple[tuple[tuple[str, ...], str], ...] = (
    (("intermediate.dense",), "output.dense"),
    (("ffn.lin1",), "ffn.lin2"),
    (("ffn",), "ffn_output"),
    (("mlp.c_fc",), "mlp.c_proj"),
    (("fc1",), "fc2"),
    (("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj"),
    (("mlp.gate_up_proj",), "mlp.down_proj"),
    (("mlp.Wi",), "mlp.Wo"),
    (("mlp.dense_h_to_4h",), "mlp.dense_4h_to_h"),
    (("DenseReluDense.wi",), "DenseReluDense.wo"),
    (("DenseReluDense.wi_0", "DenseReluDense.wi_1"), "DenseReluDense.wo"),
)
"""Inner layers and the outer layer of a feed-forward block, by their names' ends.

Where one half of the inner features gates the other, these are two layers, or one with both halves one after the other.
"""
ATTENTION = (
    "attention.output.dense", "attention.out_lin", "attention.dense", "attention.attn.o", "attn.c_proj", "attn.Wo",
    "self_attn.o_proj", "self_attn.out_proj", "encoder_attn.out_proj", "SelfAttention.o", "EncDecAttention.o",
)  # fmt: skip
"""The last layer of an attention, by its name's end."""
ACTIVATIONS: dict[str, Any] = {"relu": functional.relu, "gelu": functional.gelu, "silu": functional.silu}
SIZES = ("intermediate_size", "hidden_dim", "n_inner", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim")
"""Keys of configurations that tell the inner size."""


@dataclass(frozen=True, slots=True)
class Feedforward:
    """The names of the inner layers and the outer layer of one feed-forward block."""

    inner: tuple[str, ...]
    outer: str


def feedforwards(module: nn.Module, below: Sequence[str]) -> list[Feedforward]:
    """Return the feed-forward blocks below the given paths, in order."""
    names = {name: None for name, part in module.named_modules() if _linear(part)}
    found = []
    for name in names:
        if not any(name.startswith(f"{path}.") for path in below) or ".attention." in name:
            continue
        for inner, outer in FEEDFORWARD:
            stem = name.removesuffix(outer)
            if name.endswith(f".{outer}") and all(stem + one in names for one in inner):
                found.append(Feedforward(tuple(stem + one for one in inner), name))
                break
    return found


class WiderIn(nn.Module):
    """An inner layer with more features: base(x) and down(x) side by side, in each half where there are two."""

    def __init__(self, base: Any, size: int, halves: int, draw: torch.Generator) -> None:
        super().__init__()
        self.base, self.halves = base, halves
        self.down = nn.Linear(_shape(base)[1], halves * size, bias=base.bias is not None)
        started(self.down, base, draw)

    @property
    def weight(self) -> Tensor:
        """Return the base's matrix, which some blocks look at for its number format."""
        weight: Tensor = self.base.weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (..., N + size), or of both halves (..., 2 N + 2 size)."""
        return _interleaved(self.base(x), self.down(x), self.halves, -1)

    def plain(self) -> nn.Module:
        """Return one plain layer that does the same."""
        return _joined(self.base, self.down.weight, self.down.bias, 0, self.halves)


class WiderOut(nn.Module):
    """An outer layer that reads more features: base of the first ones, and scale * up of those at the end."""

    def __init__(self, base: Any, size: int, scale: float) -> None:
        super().__init__()
        self.base, self.size, self.scale = base, size, scale
        self.up = nn.Linear(size, _shape(base)[0], bias=False)
        started(self.up, base, None)  # zero: the start is the pretrained model

    @property
    def weight(self) -> Tensor:
        """Return the base's matrix, which some blocks look at for its number format."""
        weight: Tensor = self.base.weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (..., H)."""
        out: Tensor = self.base(x[..., : -self.size])
        return out + self.scale * self.up(x[..., -self.size :])

    def plain(self) -> nn.Module:
        """Return one plain layer that does the same."""
        return _joined(self.base, self.scale * self.up.weight, None, 1)


def beside(module: nn.Module, blocks: Sequence[Feedforward], size: int, scale: float, seed: int) -> list[str]:
    """Put adapters, drawn from `seed`, beside feed-forward blocks; return the names of their parts."""
    names, draw = [], torch.Generator().manual_seed(seed)
    for block in blocks:
        for name in block.inner:
            inner = module.get_submodule(name)
            halves = _shape(inner)[0] // _shape(module.get_submodule(block.outer))[1]
            put(module, name, WiderIn(inner, size, halves, draw))
            names.append(f"{name}.down")
        put(module, block.outer, WiderOut(module.get_submodule(block.outer), size, scale))
        names.append(f"{block.outer}.up")
    return names


def widen(module: nn.Module) -> int:
    """Put plain, wider layers in the place of adapters beside blocks; the configurations tell the new size."""
    found = [(name, part) for name, part in module.named_modules() if isinstance(part, WiderIn | WiderOut)]
    size = next((part.size for _, part in found if isinstance(part, WiderOut)), 0)
    for name, part in found:
        put(module, name, part.plain())
    configs = {id(c): c for part in module.modules() if (c := getattr(part, "config", None)) is not None}
    for config in configs.values():
        for key in SIZES:
            if hasattr(config, key):
                own = getattr(config, key)
                setattr(config, key, (4 * config.n_embd if own is None else own) + size)
    return len(found)


class After(nn.Module):
    """A layer with a narrow one after it: h + scale * up(f(down(h))), h what the layer gives."""

    def __init__(self, base: Any, size: int, scale: float, activation: str, draw: torch.Generator) -> None:
        super().__init__()
        self.base, self.scale, self.activation = base, scale, activation
        width = _shape(base)[0]
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        started(self.down, base, draw)
        started(self.up, base, None)  # zero: the start is the pretrained model

    @property
    def weight(self) -> Tensor:
        """Return the base's matrix, which some blocks look at for its number format."""
        weight: Tensor = self.base.weight
        return weight

    def get_base_layer(self) -> nn.Module:
        """Return the layer that it stands after, as PEFT's layers do."""
        base: nn.Module = self.base
        return base

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (..., H)."""
        h: Tensor = self.base(x)
        return h + self.scale * self.up(ACTIVATIONS[self.activation](self.down(h)))


def attentions(module: nn.Module, below: Sequence[str]) -> list[str]:
    """Return the last layers of the attentions below the given paths, in order."""
    return [
        name
        for name, part in module.named_modules()
        if _linear(part) and name.endswith(ATTENTION) and any(name.startswith(f"{path}.") for path in below)
    ]


def after(module: nn.Module, names: Sequence[str], size: int, scale: float, activation: str, seed: int) -> list[str]:
    """Put adapters, drawn from `seed`, after layers; return the names of their parts."""
    draw = torch.Generator().manual_seed(seed)
    for name in names:
        put(module, name, After(module.get_submodule(name), size, scale, activation, draw))
    return [f"{name}.{part}" for name in names for part in ("down", "up")]


def standing(module: nn.Module) -> dict[str, After]:
    """Return the adapters that stand after layers, by the layers' names."""
    return {name: part for name, part in module.named_modules() if isinstance(part, After)}


def facts(module: nn.Module) -> dict[str, Any] | None:
    """Return what a bundle tells of the adapters after layers, None where there are none."""
    found = standing(module)
    if not found:
        return None
    one = next(iter(found.values()))
    return {
        "peft_type": KIND, "target_modules": sorted(found), "r": one.down.out_features, "scale": one.scale,
        "activation": one.activation,
    }  # fmt: skip


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the adapters' tensors after layers, by name inside the module."""
    return {
        f"{name}.{part}.{key}": tensor
        for name, adapter in standing(module).items()
        for part in ("down", "up")
        for key, tensor in adapter.get_submodule(part).state_dict().items()
    }


def fill(module: nn.Module, tree: Mapping[str, Any], given: Mapping[str, Tensor]) -> None:
    """Put adapters with these tensors after layers, frozen and in eval mode.

    Raises:
        ValueError: a layer is not there, or the tensors are not those of the facts, all and no more.
    """
    names = list(tree["target_modules"])
    there = dict(module.named_modules())
    if odd := [name for name in names if not _linear(there.get(name))]:
        raise ValueError(f"there is no layer '{odd[0]}'")
    after(module, names, int(tree["r"]), float(tree["scale"]), str(tree["activation"]), 0)
    own = {name: tuple(tensor.shape) for name, tensor in tensors(module).items()}
    came = {name: tuple(tensor.shape) for name, tensor in given.items()}
    if own != came:
        odd = sorted(name for name in own.keys() | came.keys() if own.get(name) != came.get(name))
        raise ValueError(f"{len(odd)} tensors differ, such as '{odd[0]}': {own.get(odd[0])} or {came.get(odd[0])}")
    module.load_state_dict(dict(given), strict=False)
    module.requires_grad_(False).eval()


def put(module: nn.Module, name: str, part: nn.Module) -> None:
    """Put a part in the place of another one."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)


def _linear(part: Any) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(part, nn.Linear | Conv1D)


def _shape(layer: Any) -> tuple[int, int]:
    """Return outputs and inputs of a layer."""
    rows, columns = layer.weight.shape
    return (rows, columns) if isinstance(layer, nn.Linear) else (columns, rows)


def started(new: nn.Linear, base: Any, draw: torch.Generator | None) -> None:
    """Start a layer as nn.Linear does (He et al. 2015, gain of 1 / sqrt(3)), or at zero; where and as the base is."""
    with torch.no_grad():
        if draw is None:
            new.weight.zero_()
        else:
            edge = new.in_features**-0.5
            new.weight.copy_(torch.rand(new.weight.shape, generator=draw) * 2 * edge - edge)
        if new.bias is not None:
            new.bias.zero_()
    new.to(device=base.weight.device, dtype=base.weight.dtype)


def _interleaved(own: Tensor, new: Tensor, halves: int, dim: int) -> Tensor:
    """Return what comes after each half (or the whole) of one tensor from the same half of another."""
    pairs = zip(own.chunk(halves, dim), new.chunk(halves, dim), strict=True)
    return torch.cat([part for pair in pairs for part in pair], dim)


def _joined(base: Any, weight: Tensor, bias: Tensor | None, dim: int, halves: int = 1) -> nn.Module:
    """Return a layer of the base's kind whose matrix (out, in) goes on with another one's."""
    from transformers.pytorch_utils import Conv1D

    with torch.no_grad():
        plain = isinstance(base, nn.Linear)
        own = base.weight if plain else base.weight.T
        whole = _interleaved(own, weight.to(own.dtype), halves, dim)
        shift = base.bias if bias is None else _interleaved(base.bias, bias.to(base.bias.dtype), halves, 0)
        made: Any
        if plain:
            made = nn.Linear(whole.shape[1], whole.shape[0], bias=shift is not None, device=own.device, dtype=own.dtype)
            made.weight.copy_(whole)
        else:
            made = Conv1D(whole.shape[0], whole.shape[1]).to(device=own.device, dtype=own.dtype)
            made.weight.copy_(whole.T)
        if shift is not None:
            made.bias.copy_(shift)
    found: nn.Module = made
    return found
