"""A linear-chain conditional random field over given logits: transitions fitted by maximum likelihood.

Lafferty, McCallum & Pereira 2001, sections 3 and 4. The logits are fixed, so that the problem is convex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

_NEVER = -1e4  # stands for minus infinity, so that sums stay finite
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Chain:
    """What is added to `scale` times the log-probabilities of tags: at the start (C,), between two tags (C, C)."""

    start: np.ndarray
    transitions: np.ndarray
    scale: float


def fit(
    logits: Sequence[np.ndarray], paths: Sequence[np.ndarray], start: np.ndarray, transitions: np.ndarray,
    *, strength: float = 1.0, steps: int = 50,
) -> Chain:  # fmt: skip
    """Return the chain under which the true paths (N_i,) are most likely, given logits (N_i, C).

    `start` and `transitions` are 0 where a step is allowed, minus infinity where it is not: those stay so. Half of
    `strength` times the sum of squares of what is learnt is taken off the log-likelihood.
    """
    import torch
    from torch.nn.functional import log_softmax

    rows = sorted((n for n, path in enumerate(paths) if len(path)), key=lambda n: len(paths[n]))
    groups = []
    for begin in range(0, len(rows), _BATCH):
        some = rows[begin : begin + _BATCH]
        longest = len(paths[some[-1]])
        held = torch.zeros(len(some), longest, len(start), dtype=torch.float64)
        true = torch.zeros(len(some), longest, dtype=torch.int64)
        for place, n in enumerate(some):
            held[place, : len(paths[n])] = log_softmax(torch.as_tensor(logits[n], dtype=torch.float64), -1)
            true[place, : len(paths[n])] = torch.as_tensor(paths[n])
        groups.append((held, true, torch.tensor([len(paths[n]) for n in some])))
    fixed = [torch.as_tensor(np.where(np.isfinite(part), 0.0, _NEVER)) for part in (start, transitions)]
    learnt = [torch.zeros_like(part, requires_grad=True) for part in fixed]
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([*learnt, scale], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        first, between = (part + own for part, own in zip(fixed, learnt, strict=True))
        loss: Any = 0.5 * strength * (sum(part.square().sum() for part in learnt) + (scale - 1).square())
        for held, true, sizes in groups:
            loss = loss - log_likelihood(scale * held, true, sizes, first, between).sum()
        loss.backward()
        return loss

    if groups:
        optimizer.step(closure)
    found = [np.where(np.isfinite(part), own.detach().numpy(), -np.inf) for part, own in
             zip((start, transitions), learnt, strict=True)]  # fmt: skip
    return Chain(found[0], found[1], float(scale.detach()))


def log_likelihood(
    scores: torch.Tensor, paths: torch.Tensor, sizes: torch.Tensor, start: torch.Tensor, transitions: torch.Tensor
) -> torch.Tensor:
    """Return ln p (B,) of paths (B, N) by scores (B, N, C), of which the first `sizes` (B,) count."""
    import torch

    inside = torch.arange(scores.shape[1])[None] < sizes[:, None]
    own = (scores.gather(2, paths[..., None])[..., 0] * inside).sum(1) + start[paths[:, 0]]
    steps = transitions[paths[:, :-1], paths[:, 1:]] * inside[:, 1:]
    alpha = start + scores[:, 0]
    for place in range(1, scores.shape[1]):
        grown = torch.logsumexp(alpha[:, :, None] + transitions[None], dim=1) + scores[:, place]
        alpha = torch.where(inside[:, place, None], grown, alpha)
    return own + steps.sum(1) - torch.logsumexp(alpha, dim=1)
