"""Parameter groups: learning rate and weight decay by parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from graftlm.contracts.method import Adaptation
from graftlm.contracts.model import Model
from graftlm.contracts.optimizer import Optimizer
from graftlm.core.errors import UserError
from graftlm.nn.vocabulary import WorkingEmbedding


def parameter_groups(
    model: Model, adaptations: Sequence[Adaptation], states: nn.Module, optimizer: Optimizer, rate: float
) -> list[dict[str, Any]]:
    """Return the optimizer's groups: one for each rate, decay and set of prefixes whose rate changes with the step.

    Biases, norms and embeddings are not decayed. A group keeps the `names` of its parameters, and `at`: the number
    of the adaptation and the prefix of each multiplier that `rates_at` gives.

    Raises:
        UserError: nothing trains.
    """
    plain = {
        id(p)
        for part in model.module.modules()
        if isinstance(part, nn.Embedding | WorkingEmbedding | nn.LayerNorm | nn.RMSNorm)
        for p in part.parameters(recurse=False)
    }
    changing = [
        (number, prefix)
        for number, adaptation in enumerate(adaptations)
        if adaptation.rates_at is not None
        for prefix in adaptation.rates_at(0)
    ]
    groups: dict[tuple[float, float, tuple[tuple[int, str], ...]], list[tuple[str, Any]]] = {}
    named = [*model.module.named_parameters(), *(("", p) for p in states.parameters())]
    seen: set[int] = set()
    for name, parameter in named:
        if not parameter.requires_grad or id(parameter) in seen:
            continue
        seen.add(id(parameter))  # a run object may hold parameters of the model itself
        scale = 1.0
        for adaptation in adaptations:
            for prefix, factor in adaptation.rates.items():
                if _below(name, prefix):
                    scale *= factor
        at = tuple((number, prefix) for number, prefix in changing if _below(name, prefix))
        decay = 0.0 if parameter.ndim < 2 or id(parameter) in plain else optimizer.weight_decay
        groups.setdefault((scale * rate, decay, at), []).append((name, parameter))
    if not groups:
        raise UserError("Nothing trains: the methods of the recipe freeze every parameter. Take one of them out.")
    return [
        {"params": [p for _, p in found], "names": [n for n, _ in found], "lr": lr, "weight_decay": decay, "at": at}
        for (lr, decay, at), found in groups.items()
    ]


def multipliers(adaptations: Sequence[Adaptation], groups: Sequence[dict[str, Any]], step: int) -> list[float]:
    """Return what the learning rate of each group is multiplied by at a step, by methods whose rates change."""
    known = [a.rates_at(step) if a.rates_at is not None else {} for a in adaptations]
    return [math.prod(known[number].get(prefix, 1.0) for number, prefix in group["at"]) for group in groups]


def _below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")
