"""The penalty 1/2 * sum of weights * (parameter - anchor)^2, with its gradient written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class _Quadratic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Tensor:
        parameters, anchors, weights = (list(tensors[i * count : (i + 1) * count]) for i in range(3))
        apart = torch._foreach_sub(parameters, anchors)
        pulls = torch._foreach_mul(apart, weights)
        ctx.pulls = pulls
        total = parameters[0].new_zeros(())
        for one, two in zip(apart, pulls, strict=True):
            total = total + torch.dot(one.flatten(), two.flatten())
        return total / 2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        torch._foreach_mul_(ctx.pulls, grads[0])
        return (None, *ctx.pulls, *([None] * (2 * len(ctx.pulls))))


def quadratic(parameters: Sequence[Tensor], anchors: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Return the penalty as a scalar with gradient for the parameters; it can be gone back through once."""
    found: Tensor = _Quadratic.apply(len(parameters), *parameters, *anchors, *weights)
    return found
