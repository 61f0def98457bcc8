"""Pooling: token states (B, L, H) and a mask (B, L) become one vector for each sequence (B, H)."""

from __future__ import annotations

import torch
from torch import Tensor


def mean(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over real tokens (B, H), as Sentence Transformers computes it."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def cls(states: Tensor, mask: Tensor) -> Tensor:
    """Return the state of the first token (B, H)."""
    return states[:, 0]


def largest(states: Tensor, mask: Tensor) -> Tensor:
    """Return the largest value over real tokens (B, H)."""
    return states.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(states.dtype).min).amax(1)


POOLINGS = {"mean": mean, "cls": cls, "max": largest}
