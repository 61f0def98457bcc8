"""Spans that answer a question: the logits of their borders, and the best pairs of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

STARTS = 20
"""Starts that are looked at in a window, as in Transformers' example (`n_best_size`)."""


def give_logits(module: nn.Module) -> None:
    """Let a plain question-answering model give `.logits` (B, 2, L): where the answer starts, and where it ends.

    A hook: the names and tensors of the module stay what they are.
    """
    module.register_forward_hook(_with_logits)


def _with_logits(module: nn.Module, _: Any, output: Any) -> Any:
    import torch

    if isinstance(output, Mapping) and "logits" not in output:
        given: Any = output
        given["logits"] = torch.stack((given["start_logits"], given["end_logits"]), dim=1)
    return output


def best_pairs(
    logits: np.ndarray, begin: int, offsets: np.ndarray, longest: int, most: int
) -> list[tuple[float, int, int]]:
    """Return score and places (first token, last token, both in the context) of the best spans, best first.

    `logits` (2, L) are those of a window whose context begins at token `begin`, `offsets` (T, 2) the places of its
    tokens in the text; no span has more than `longest` characters.
    """
    count = len(offsets)
    if count == 0:
        return []
    start, end = logits[:, begin : begin + count].astype(np.float64)
    chosen = np.argsort(-start, kind="stable")[:STARTS]
    size = offsets[None, :, 1] - offsets[chosen, None, 0]
    allowed = (np.arange(count)[None, :] >= chosen[:, None]) & (size <= longest) & (size > 0)
    scores = np.where(allowed, start[chosen, None] + end[None, :], -np.inf)
    order = np.argsort(-scores, axis=None, kind="stable")[:most]
    rows, ends = np.unravel_index(order, scores.shape)
    return [
        (float(scores[row, last]), int(chosen[row]), int(last))
        for row, last in zip(rows, ends, strict=True)
        if np.isfinite(scores[row, last])
    ]


def best_threshold(apart: np.ndarray, gains: np.ndarray) -> float:
    """Return the t with the highest sum of gains (N,) where `apart` (N,) is at most t: midway between two values."""
    if not len(apart):
        return 0.0
    order = np.argsort(apart, kind="stable")
    edges = np.concatenate(
        [
            [apart[order[0]] - 1],
            apart[order],
        ]
    )
    total = np.concatenate([[0.0], np.cumsum(gains[order])])
    last = np.append(np.diff(edges) > 0, True)  # only between different values can a threshold lie
    total[~last] = -np.inf
    best = int(total.argmax())
    upper = edges[best + 1] if best + 1 < len(edges) else edges[best] + 1
    return float((edges[best] + upper) / 2)
