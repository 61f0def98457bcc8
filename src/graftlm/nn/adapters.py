"""Adapters of PEFT inside a plain module: put in for training, then folded into the weights, or taken out and kept."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.nn import prompts
from graftlm.nn.bottleneck import After

NAME = "default"
"""Under which PEFT holds the adapter."""


def linear_layers(module: nn.Module, below: Sequence[str]) -> list[str]:
    """Return the full names of the linear layers (Conv1D of GPT-2 too) below the given paths, in order."""
    from transformers.pytorch_utils import Conv1D

    return [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear | Conv1D) and any(name.startswith(f"{path}.") for path in below)
    ]


def transposed(module: nn.Module, names: Sequence[str]) -> bool:
    """Tell whether the named layers keep their weights as (in, out), as GPT-2's do."""
    return any(turned(module.get_submodule(name)) for name in names)


def turned(layer: nn.Module) -> bool:
    """Tell whether a layer keeps its weight as (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(layer, Conv1D)


def inject(module: nn.Module, config: Any) -> list[str]:
    """Put the adapters of a PEFT configuration into a module; return the names of their parameters.

    Everything else is frozen. The module stays what it is: no wrapper, the same call.
    """
    from peft import inject_adapter_in_model

    for parameter in module.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(config, module)
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def layers(module: nn.Module) -> dict[str, Any]:
    """Return the layers with an adapter in a module by name, in order: PEFT's, and our own of bottlenecks."""
    kinds: tuple[type, ...] = (After,)
    if "peft" in sys.modules:
        from peft.tuners.tuners_utils import BaseTunerLayer

        kinds = (After, BaseTunerLayer)
    return {name: part for name, part in module.named_modules() if isinstance(part, kinds)}


def config(module: nn.Module) -> Any:
    """Return the PEFT configuration of the adapter in a module, its layers named in full; None where there is none."""
    found = layers(module)
    if not found:
        return None
    _, own = _holder(module)
    changes: dict[str, Any] = {"target_modules": list(found)}
    if hasattr(own, "feedforward_modules"):
        changes["feedforward_modules"] = [name for name, part in found.items() if part.is_feedforward]
    return dataclasses.replace(own, **changes)


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the adapter's tensors under the names that PEFT saves them by, relative to the module."""
    from peft import get_peft_model_state_dict

    place, _ = _holder(module)
    held: Any = module.get_submodule(place)
    inside = f"{place}." if place else ""
    found = get_peft_model_state_dict(held, adapter_name=NAME, save_embedding_layers=False)
    return {inside + name: tensor for name, tensor in found.items()}


def _holder(module: nn.Module) -> tuple[str, Any]:
    """Return the path of the part that the adapter was put into, and its configuration."""
    return next(
        (name, vars(part)["peft_config"][NAME]) for name, part in module.named_modules() if "peft_config" in vars(part)
    )


def put(module: nn.Module, config: Any, given: Mapping[str, Tensor]) -> None:
    """Put an adapter with these tensors (named as by `tensors`) into a module, frozen and in eval mode.

    Raises:
        ValueError: the tensors are not those of the configuration, all and no more.
    """
    from peft import set_peft_model_state_dict

    inject(module, config)
    own = {name: tuple(tensor.shape) for name, tensor in tensors(module).items()}
    came = {name: tuple(tensor.shape) for name, tensor in given.items()}
    if own != came:
        odd = sorted(name for name in own.keys() | came.keys() if own.get(name) != came.get(name))
        raise ValueError(f"{len(odd)} tensors differ, such as '{odd[0]}': {own.get(odd[0])} or {came.get(odd[0])}")
    set_peft_model_state_dict(module, dict(given), adapter_name=NAME)
    module.requires_grad_(False).eval()


@contextmanager
def lifted(module: nn.Module) -> Iterator[None]:
    """While in the block, the module is plain: layers without their adapters, no virtual tokens before it."""
    found = layers(module)
    for name, part in found.items():
        place(module, name, part.get_base_layer())
    try:
        with prompts.lifted(module):
            yield
    finally:
        for name, part in found.items():
            place(module, name, part)


def merge(module: nn.Module) -> int:
    """Fold all adapters into the layers that they stand on and put those back; return how many there were.

    Raises:
        ValueError: a merged weight is not finite (PEFT's own check).
    """
    for part in layers(module).values():
        part.merge(safe_merge=True)
    return take_out(module)


def take_out(module: nn.Module) -> int:
    """Put the layers that the adapters stand on back as they are; return how many there were."""
    found = layers(module)
    for name, part in found.items():
        place(module, name, part.get_base_layer())
    for attribute in ("peft_config", "_hf_peft_config_loaded"):
        for part in module.modules():
            if attribute in vars(part):
                delattr(part, attribute)
    return len(found)


def become_lora(module: nn.Module, factors: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Put plain LoRA in place of all adapters: by layer A (r, in) and B (out, r), whose product is added to the weight.

    The layers keep the weights they stand on. Ranks that differ are filled up with zeros, so that one rank and a scale
    of one hold for all.
    """
    from peft import LoraConfig

    take_out(module)
    rank = max(1, *(len(a) for a, _ in factors.values()))
    whole = {}
    for name, (a, b) in factors.items():
        more = rank - len(a)
        whole[f"{name}.lora_A.weight"] = nn.functional.pad(a.detach(), (0, 0, 0, more)).contiguous()
        whole[f"{name}.lora_B.weight"] = nn.functional.pad(b.detach(), (0, more)).contiguous()
    names = list(factors)
    wide = transposed(module, names)
    put(module, LoraConfig(r=rank, lora_alpha=rank, target_modules=names, fan_in_fan_out=wide), whole)


def lora_factors(module: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A (r, in) and B (out, r) of each layer with LoRA, its scale in B."""
    found = {}
    for name, part in layers(module).items():
        a, b = part.lora_A[NAME].weight.detach(), part.lora_B[NAME].weight.detach()
        found[name] = (a, b * part.scaling[NAME])
    return found


def differ(module: nn.Module, other: nn.Module) -> bool:
    """Tell whether any tensor of a module is not held bit for bit by another, adapters left out."""
    with lifted(module):
        own, there = module.state_dict(), other.state_dict()
    return any(name not in there or not _same(tensor, there[name]) for name, tensor in own.items())


def digest(module: nn.Module) -> str:
    """Return the SHA-256 that stands for the parameters of a module, whatever they are called, adapters left out.

    It is that of the sorted digests of format, shape and bytes of each parameter.
    """
    found = []
    with lifted(module):
        for parameter in module.parameters():
            tensor = parameter.detach().cpu().contiguous()
            one = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
            one.update(tensor.flatten().view(torch.uint8).numpy().data)
            found.append(one.hexdigest())
    return hashlib.sha256(" ".join(sorted(found)).encode()).hexdigest()


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.detach().cpu(), other.cpu())


def place(module: nn.Module, name: str, part: nn.Module) -> None:
    """Put a part under a name into a module."""
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, part)
