"""Parameter groups: learning rate and weight decay by parameter."""

from __future__ import annotations

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
    """Return the optimizer's groups: one for each pair of rate and decay, in the order of the parameters.

    Biases, norms and embeddings are not decayed.

    Raises:
        UserError: nothing trains.
    """
    plain = {
        id(p)
        for part in model.module.modules()
        if isinstance(part, nn.Embedding | WorkingEmbedding | nn.LayerNorm | nn.RMSNorm)
        for p in part.parameters(recurse=False)
    }
    groups: dict[tuple[float, float], list[Any]] = {}
    named = [*model.module.named_parameters(), *(("", p) for p in states.parameters())]
    seen: set[int] = set()
    for name, parameter in named:
        if not parameter.requires_grad or id(parameter) in seen:
            continue
        seen.add(id(parameter))  # a run object may hold parameters of the model itself
        scale = 1.0
        for adaptation in adaptations:
            for prefix, factor in adaptation.rates.items():
                if name == prefix or name.startswith(f"{prefix}."):
                    scale *= factor
        decay = 0.0 if parameter.ndim < 2 or id(parameter) in plain else optimizer.weight_decay
        groups.setdefault((scale * rate, decay), []).append(parameter)
    if not groups:
        raise UserError("Nothing trains: the methods of the recipe freeze every parameter. Take one of them out.")
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]
