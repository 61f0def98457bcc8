"""Arithmetic of updates of low rank: B (out, r) times A (r, in), never multiplied out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Factors = tuple[Tensor, Tensor]
"""A (r, in) and B (out, r)."""


def weighted_sum(updates: Sequence[Factors], weights: Sequence[float]) -> Factors:
    """Return factors of the sum of w_i B_i A_i, exactly: their ranks are put side by side."""
    a = torch.cat([a for a, _ in updates])
    b = torch.cat([weight * b for weight, (_, b) in zip(weights, updates, strict=True)], dim=1)
    return a, b


def truncated(update: Factors, rank: int) -> Factors:
    """Return factors of at most `rank` whose product is nearest to B A in the Frobenius norm (Eckart & Young 1936).

    The SVD is that of the small matrix between the orthogonal parts of B and A, so that no (out, in) matrix is made.
    """
    a, b = (part.double() for part in update)
    if rank >= len(a):
        return update
    left, upper = torch.linalg.qr(b)
    right, lower = torch.linalg.qr(a.T)
    u, s, v = torch.linalg.svd(upper @ lower.T)
    root = s[:rank].sqrt()
    new_a, new_b = (root[:, None] * v[:rank]) @ right.T, (left @ u[:, :rank]) * root
    return new_a.to(update[0].dtype), new_b.to(update[1].dtype)
