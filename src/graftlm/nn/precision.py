"""Devices and number formats: what the machine has is looked up, never guessed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from graftlm.core.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]

CPUINFO = Path("/proc/cpuinfo")


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the processor's feature flags as Linux tells them; empty where the system does not tell."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cpu_has_bf16(cpuinfo: Path = CPUINFO) -> str | None:
    """Return the instruction set that multiplies bf16 numbers ("amx_bf16", "avx512_bf16"), None without one."""
    flags = cpu_flags(cpuinfo)
    for name in ("amx_bf16", "avx512_bf16"):
        if name in flags:
            return name
    if not flags and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)():
        return "avx512_bf16"
    return None


def device_for(name: str = "auto") -> torch.device:
    """Return the device that a name means; auto takes an accelerator where there is one.

    Raises:
        UserError: the device is named and not there.
    """
    if name != "auto":
        kind = name.partition(":")[0]
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not there.get(kind, True):
            raise UserError(
                f"The device '{name}' was asked for, but this machine (or this build of torch {torch.__version__}) has "
                "none. Use --device auto or --device cpu."
            )
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose(precision: Precision, device: torch.device | str) -> tuple[torch.dtype, str]:
    """Return the number format for the forward pass on a device, and the reason in words."""
    kind = torch.device(device).type
    if precision == "fp32":
        return torch.float32, "fp32, as asked for"
    if kind == "cuda":
        found = "the GPU's bf16 units" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    elif kind == "cpu":
        found = cpu_has_bf16()
    else:
        found = None
    if precision == "bf16":
        warning = "" if found else f"; this {kind} only emulates it, which is slow"
        return torch.bfloat16, "bf16, as asked for" + warning
    if found:
        return torch.bfloat16, f"bf16, since the {kind} has {found}"
    return torch.float32, f"fp32, since this {kind} has no bf16 arithmetic"


def as_weight(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Cast a layer's first input to the format of its weight: a forward pre-hook for a head kept in fp32."""
    first, *rest = args
    weight = layer.weight
    if isinstance(weight, Tensor) and first.dtype != weight.dtype:
        first = first.to(weight.dtype)
    return (first, *rest)


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the number format of the largest floating parameter: that of the body, whatever the head has."""
    floating = [p for p in module.parameters() if p.is_floating_point()]
    return max(floating, key=lambda p: p.numel()).dtype if floating else torch.float32


def converted(module: nn.Module, dtype: torch.dtype, head: str | None, device: torch.device) -> nn.Module:
    """Return a copy for inference in another number format, in eval mode, the head kept in fp32.

    The module itself is not touched, and no second fp32 copy is made on the way. Buffers that no
    checkpoint holds (rotary frequencies, position numbers) keep their format.
    """
    kept = {id(p) for p in module.get_submodule(head).parameters()} if head else set()
    unsaved = {
        id(buffer)
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
        if name in part._non_persistent_buffers_set
    }

    def cast(tensor: Tensor, fixed: bool) -> Tensor:
        wanted = dtype if tensor.is_floating_point() and not fixed else tensor.dtype
        return tensor.detach().to(device=device, dtype=wanted, copy=True)

    memo: dict[int, object] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(cast(parameter, id(parameter) in kept), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = cast(buffer, id(buffer) in unsaved)
    twin = copy.deepcopy(module, memo)
    if head and dtype != torch.float32:
        twin.get_submodule(head).register_forward_pre_hook(as_weight)
    return twin.eval()
