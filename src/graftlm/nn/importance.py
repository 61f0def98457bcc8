"""What each weight is worth: gradients of single rows, squared or in size, on average over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graftlm.nn.kept import Kept, working_rows
from graftlm.nn.quadratic import quadratic


def importance(
    parameters: Mapping[str, Tensor], values: Iterable[Tensor], *, squared: bool = True
) -> dict[str, Tensor]:
    """Return the mean over values of (dv/dw)^2, or of |dv/dw|, by name.

    Each value is a scalar of one row: the square of a mean gradient would shrink with the rows in it.
    """
    names, tensors = list(parameters), list(parameters.values())
    sums = [torch.zeros_like(tensor) for tensor in tensors]
    count = 0
    for value in values:
        grads: Any = torch.autograd.grad(value, tensors, allow_unused=True)
        pairs = [(total, grad) for total, grad in zip(sums, grads, strict=True) if grad is not None]
        totals, found = [total for total, _ in pairs], [grad for _, grad in pairs]
        if squared:
            torch._foreach_addcmul_(totals, found, found)
        else:
            torch._foreach_add_(totals, torch._foreach_abs(found))
        count += 1
    if count:
        torch._foreach_div_(sums, count)
    return dict(zip(names, sums, strict=True))


def carried(
    found: Mapping[str, Tensor], of: str, module: nn.Module, base: str, names: Iterable[str]
) -> dict[str, Tensor]:
    """Return tensors of another model's base, named as there, under the names of this module's parameters.

    Zeros where the other has none. A table of which only the rows in use train is cut to these.
    """
    out = {}
    for name in names:
        other = found.get(f"{of}.{name.removeprefix(f'{base}.')}")
        rows = working_rows(module, name)
        parameter = module.get_parameter(name)
        if other is not None:
            other = other if rows is None else other[rows]
        out[name] = torch.zeros_like(parameter) if other is None else other.to(parameter)
    return out


def relative(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights through their mean over all entries, so that a strength means the same for every base."""
    count = sum(each.numel() for each in weights.values())
    mean = sum(float(each.double().sum()) for each in weights.values()) / max(1, count)
    return {name: each / mean if mean > 0 else each for name, each in weights.items()}


def vector(outputs: Any, mask: Tensor) -> Tensor:
    """Return one vector for each sequence (B, H): the pooled one, else the mean of the last states of real tokens."""
    pooled: Tensor | None = getattr(outputs, "pooled", None)
    if pooled is not None:
        return pooled.float()
    states = getattr(outputs, "hidden_states", None) or getattr(outputs, "encoder_hidden_states", None)
    if not states:
        raise ValueError("the outputs hold neither a pooled vector nor hidden states")
    last, real = states[-1].float(), mask.unsqueeze(-1).float()
    last, real = last[:, -real.shape[1] :], real  # virtual tokens stand before the others
    return (last * real).sum(1) / real.sum(1).clamp_min(1)


class Held(nn.Module):
    """Anchors, and what each entry weighs; the weights are in every checkpoint, the anchors come from the base."""

    between_updates = True

    def __init__(self, first: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.first = Kept(first, saved=False)
        self.weights = Kept(weights)

    def pull(self, module: nn.Module, strength: float, rate: Callable[[str], float]) -> None:
        """Move each parameter toward its anchor, to where the penalty's pull and the way back are in balance.

        w <- w0 + (w - w0) / (1 + rate * strength * weight), the implicit step: it never goes past the anchor, however
        large the strength.
        """
        with torch.no_grad():
            for name, first in self.first.items():
                if (step := rate(name) * strength) > 0:
                    parameter = module.get_parameter(name)
                    (weight,) = self.weights.of([name])
                    parameter.sub_(first).div_(weight * step + 1).add_(first)

    def penalty(self, module: nn.Module) -> Tensor:
        """Return 1/2 * sum of weights * (parameter - anchor)^2."""
        names = [name for name, _ in self.first.items()]
        if not names:
            return torch.zeros((), device=next(module.parameters()).device)
        return quadratic([module.get_parameter(name) for name in names], self.first.of(names), self.weights.of(names))
