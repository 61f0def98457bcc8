"""Losses that compare vectors of texts: by cosine, by order, by angle, against the other texts of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine (B,) of vectors (B, H) row by row."""
    return nn.functional.cosine_similarity(first, second, dim=-1)


def angles(first: Tensor, second: Tensor) -> Tensor:
    """Return the AnglE similarity (B,): the real and imaginary part of a complex division, summed (Li & Li 2024).

    The halves of a vector (B, H) are its real and its imaginary part; an odd H is filled up with a zero.
    """
    if first.shape[-1] % 2:
        first, second = (nn.functional.pad(x, (0, 1)) for x in (first, second))
    first, second = (nn.functional.normalize(x, dim=-1) for x in (first, second))
    (a, b), (c, d) = first.chunk(2, dim=-1), second.chunk(2, dim=-1)
    return ((a * c + b * d).sum(-1) + (b * c - a * d).sum(-1)).abs()


def squared(similarity: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared difference of similarities (B,) and wanted ones (B,)."""
    return nn.functional.mse_loss(similarity, wanted)


def ordered(similarity: Tensor, wanted: Tensor, scale: float) -> Tensor:
    """Return ln(1 + sum over pairs i, j with wanted i > wanted j of exp(scale (s_j - s_i))): CoSENT (Su 2022)."""
    scores = similarity * scale
    gaps = (scores[:, None] - scores[None, :])[wanted[:, None] < wanted[None, :]]
    return torch.cat([scores.new_zeros(1), gaps]).logsumexp(0)


def negatives(anchors: Tensor, others: Tensor, right: Tensor, same: Tensor, scale: float) -> Tensor:
    """Return the mean of -ln softmax(scale cos(anchor, other))[right]: Henderson et al. 2017, section 4.4.

    `others` (M, H) are all texts that anchors (B, H) are told apart from, `right` (B,) the row of each one's own, and
    `same` (B, M) marks rows that hold the right text again and are left out.
    """
    anchors, others = (nn.functional.normalize(x, dim=-1) for x in (anchors, others))
    logits = (anchors @ others.T * scale).masked_fill(same, -torch.inf)
    return nn.functional.cross_entropy(logits, right)
