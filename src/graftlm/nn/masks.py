"""Random masks of weights, drawn from bytes: one byte decides about an entry, so that shares are rounded to 1/256."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_masks(like: Sequence[Tensor], share: float, seed: int) -> list[Tensor]:
    """Return a mask for each tensor: 1 / share at that share of its entries, else 0.

    A function of the sizes, the share and the seed alone: every process that asks gets the same.
    """
    kept = min(255, max(1, round(share * 256)))
    total = sum(tensor.numel() for tensor in like)
    words = torch.empty((total + 7) // 8, dtype=torch.int64)
    # the full 64-bit range, so that each of the eight bytes is uniform
    words.random_(torch.iinfo(torch.int64).min, None, generator=torch.Generator().manual_seed(seed))
    flat = (words.view(torch.uint8)[:total] < kept).to(like[0].device, like[0].dtype).mul_(256 / kept)
    parts = flat.split([tensor.numel() for tensor in like])
    return [part.view(tensor.shape) for part, tensor in zip(parts, like, strict=True)]
