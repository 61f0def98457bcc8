"""Linear solutions on dense features by the form of the target: one class, several, or quantities.

Legend: N rows, D features, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graftlm.nn import logistic
from graftlm.nn.logistic import STRENGTHS, Solution, deviation_of, vertex

RIDGE_STRENGTHS = tuple(float(10.0**power) for power in range(-2, 6))
"""Strengths tried for quantities, on standardised features."""
_ROWS = 6_000  # rows on which the strength of several classes is chosen


def solvable(target: Any) -> bool:
    """Tell whether a row's target has a form that `solve` knows."""
    if isinstance(target, np.ndarray):
        return target.ndim == 1 and target.dtype.kind in "bf"
    return isinstance(target, int)


def solve(features: np.ndarray, target: np.ndarray, size: int, *, seed: int) -> Solution:
    """Return the linear solution on features (N, D) for classes (N,), sets of classes (N, C) or quantities (N, C)."""
    if target.ndim == 1:
        return logistic.solve(features, target, size, seed=seed)
    return several(features, target, seed=seed) if target.dtype.kind == "b" else ridge(features, target)


def _standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features must be finite and (N, D); got {features.shape}")
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = features - mean
    deviation = deviation_of(centred, mean)
    centred /= deviation
    return centred, mean, deviation


def _raw(
    weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    weight = weight / deviation
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)


def several(
    features: np.ndarray, target: np.ndarray, *, seed: int, strengths: Sequence[float] = STRENGTHS, folds: int = 3
) -> Solution:
    """Minimise the sum of binary log-losses of each class + strength / 2 * ||weight||^2 over standardised features.

    The strength, one for all classes, is chosen by the log-loss of `folds`-fold cross-validation, on a part of the
    rows where there are many; with one strength there is nothing to choose.
    """
    centred, mean, deviation = _standardised(features)
    scaled, truth = torch.from_numpy(centred), torch.from_numpy(np.asarray(target, np.float32))
    path = sorted(strengths, reverse=True)
    losses: list[tuple[float, float]] = []
    if len(path) > 1 and len(scaled) >= 2 * folds:
        part = torch.from_numpy(np.random.default_rng(seed).permutation(len(scaled))[:_ROWS])
        number = torch.arange(len(part)) % folds
        for strength in path:
            total = 0.0
            for fold in range(folds):
                inside, outside = part[number != fold], part[number == fold]
                fitted = _binary(scaled[inside], truth[inside], strength, rough=True)
                total += float(_objective(scaled[outside], truth[outside], fitted))
            losses.append((strength, total / len(part)))
            if total / len(part) > min(loss for _, loss in losses):
                break
    chosen = vertex(losses) if losses else path[len(path) // 2]
    parameters = _binary(scaled, truth, chosen)
    weight, bias = _raw(parameters[:, :-1].numpy(), parameters[:, -1].numpy(), mean, deviation)
    return Solution(weight, bias, float(chosen), tuple(losses))


def _objective(scaled: Tensor, truth: Tensor, parameters: Tensor) -> Tensor:
    logits = torch.addmm(parameters[:, -1], scaled, parameters[:, :-1].T)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum")


def _binary(scaled: Tensor, truth: Tensor, strength: float, *, rough: bool = False) -> Tensor:
    """Return weight and bias as one (C, D + 1) tensor; the bias is not penalised, and begins at the classes' shares."""
    rows, width = scaled.shape
    share = (truth.sum(dim=0) + 0.5) / (rows + 1.0)
    parameters = torch.zeros(truth.shape[1], width + 1)
    parameters[:, -1] = torch.logit(share)
    constant = (truth == truth[0]).all(dim=0)  # its bias would run to infinity
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=30 if rough else 300,
        history_size=20,
        tolerance_grad=1e-5 if rough else 1e-7,
        tolerance_change=1e-4 if rough else 1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        """Return the mean objective and leave its gradient."""
        weight = parameters[:, :-1]
        logits = torch.addmm(parameters[:, -1], scaled, weight.T)
        residual = (logits.sigmoid() - truth) / rows
        gradient = torch.cat([residual.T @ scaled + strength / rows * weight, residual.sum(dim=0)[:, None]], dim=1)
        gradient[constant] = 0
        parameters.grad = gradient
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum").double() / rows
        return float(loss + 0.5 * strength / rows * torch.sum(weight.double() ** 2))

    with torch.no_grad():
        optimizer.step(closure)
    return parameters


def ridge(features: np.ndarray, target: np.ndarray, *, strengths: Sequence[float] = RIDGE_STRENGTHS) -> Solution:
    """Minimise the squared error of quantities (N, C) + strength * ||weight||^2 over standardised features.

    The strength, one for all quantities, is chosen by the leave-one-out error, which has a closed form
    (Hastie, Tibshirani and Friedman 2009, eq. 7.64).
    """
    centred, mean, deviation = _standardised(features)
    scaled = centred.astype(np.float64)
    middle = target.mean(axis=0, dtype=np.float64)
    wanted = target - middle
    rows = len(scaled)
    squares, vectors = np.linalg.eigh(scaled.T @ scaled)
    squares = np.maximum(squares, 0)
    turned = scaled @ vectors
    projected = turned.T @ wanted
    losses = []
    for strength in strengths:
        shrunk = 1 / (squares + strength)
        left = 1 - 1 / rows - np.square(turned) @ shrunk
        residual = (wanted - turned @ (shrunk[:, None] * projected)) / np.maximum(left, 1e-12)[:, None]
        losses.append((float(strength), float(np.mean(np.square(residual)))))
    chosen = min(losses, key=lambda pair: pair[1])[0]
    weight = (vectors @ (projected / (squares + chosen)[:, None])).T
    weight, bias = _raw(weight, middle, mean, deviation)
    return Solution(weight, bias, chosen, tuple(losses))
