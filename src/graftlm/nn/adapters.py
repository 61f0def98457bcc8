"""Adapters of PEFT inside a plain module: put in for training, folded into the weights after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn


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
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(module.get_submodule(name), Conv1D) for name in names)


def inject(module: nn.Module, config: Any) -> list[str]:
    """Put the adapters of a PEFT configuration into a module; return the names of their parameters.

    Everything else is frozen. The module stays what it is: no wrapper, the same call.
    """
    from peft import inject_adapter_in_model

    for parameter in module.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(config, module)
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def merge(module: nn.Module) -> int:
    """Fold all adapters into the layers that they stand on and put those back; return how many there were.

    Raises:
        ValueError: a merged weight is not finite (PEFT's own check).
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    found: list[tuple[str, Any]] = [
        (name, part) for name, part in module.named_modules() if isinstance(part, BaseTunerLayer)
    ]
    for name, part in found:
        part.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, part.get_base_layer())
    for attribute in ("peft_config", "_hf_peft_config_loaded"):
        for part in module.modules():
            if attribute in vars(part):
                delattr(part, attribute)
    return len(found)
