"""Multinomial logistic regression on dense features, its strength chosen by cross-validation.

Legend: N rows, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graftlm.nn.resampling import stratified_folds, stratified_part

STRENGTHS = (1e3, 1e2, 1e1, 1.0, 0.1)
"""Strengths tried, strongest first; on standardised features the best one lies well inside."""

_LOGITS = 4_000_000  # logits held at once: 16 MB
_WORK = 6_000 * 384 * 77  # rows x features x classes of the rows on which the strength is chosen
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Solution:
    """A linear classifier on raw features: `logits = features @ weight.T + bias`, float32.

    `strength` is the chosen L2 strength, `losses` the cross-validated log-loss of each strength tried.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    losses: tuple[tuple[float, float], ...] = ()


def solve(
    features: np.ndarray,
    target: np.ndarray,
    classes: int,
    *,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
    folds: int = 3,
) -> Solution:
    """Minimise `sum of log-losses + strength / 2 * ||weight||^2` over standardised features.

    Features (N, D), target (N,) with values in [0, classes). scikit-learn's `C` is `1 / strength`. The
    strength is chosen by the log-loss of stratified `folds`-fold cross-validation, on a stratified part of
    the rows where there are many, refined by a parabola through the best three; with one strength there
    is nothing to choose. Standardisation is folded into the weight; features without any spread get
    weight 0. Classes without rows are never preferred. Needs one copy of the features; logits are made a
    chunk of rows at a time.

    Raises:
        ValueError: shapes do not fit, a feature is not finite, or a target lies outside its range.
    """
    features = np.ascontiguousarray(features, dtype=np.float32)
    target = np.asarray(target, dtype=np.int64)
    _refuse(features, target, classes)
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = features - mean
    deviation = deviation_of(centred, mean)
    centred /= deviation
    scaled = torch.from_numpy(centred)
    truth = torch.from_numpy(target)
    path = sorted(strengths, reverse=True)
    losses: tuple[tuple[float, float], ...] = ()
    chosen = path[len(path) // 2]
    if len(path) > 1:
        losses = _validate(scaled, truth, classes, path, folds, seed)
        if losses:
            chosen = vertex(losses)
    parameters = _fit(scaled, truth, classes, chosen, None)
    weight = parameters[:, :-1].numpy() / deviation
    bias = parameters[:, -1].numpy() - weight @ mean
    return Solution(weight.astype(np.float32), bias.astype(np.float32), float(chosen), losses)


def _refuse(features: np.ndarray, target: np.ndarray, classes: int) -> None:
    if features.ndim != 2 or target.shape != features.shape[:1] or not len(target):
        raise ValueError(f"expected features (N, D) and target (N,); got {features.shape} and {target.shape}")
    if target.min() < 0 or target.max() >= classes:
        raise ValueError(f"targets must lie in [0, {classes}); got [{target.min()}, {target.max()}]")
    if not np.isfinite(features).all():
        raise ValueError("features must be finite; some are NaN or infinite")


def deviation_of(centred: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the deviation (D,); where there is no spread to speak of, infinity, so that the weight is 0."""
    squares = np.zeros(len(mean))
    for start in range(0, len(centred), 4096):
        squares += np.square(centred[start : start + 4096], dtype=np.float64).sum(axis=0)
    deviation = np.sqrt(squares / len(centred))
    flat = deviation <= 1e-6 * np.maximum(np.abs(mean), np.median(deviation))
    return np.where(flat, np.inf, deviation).astype(np.float32)


def _validate(
    scaled: Tensor, truth: Tensor, classes: int, path: Sequence[float], folds: int, seed: int
) -> tuple[tuple[float, float], ...]:
    """Return (strength, mean held-out log-loss) down the path, stopping where the loss rises clearly."""
    size = int(max(_WORK / (scaled.shape[1] * classes), 2_000, 4 * classes))
    part = torch.from_numpy(stratified_part(truth.numpy(), min(size, _ROWS), seed=seed))
    scaled, truth = scaled[part], truth[part]
    number = torch.from_numpy(stratified_folds(truth.numpy(), min(folds, len(truth)), seed=seed))
    splits = []
    for fold in range(int(number.max()) + 1):
        inside, outside = (number != fold).nonzero()[:, 0], (number == fold).nonzero()[:, 0]
        known = torch.bincount(truth[inside], minlength=classes) > 0
        outside = outside[known[truth[outside]]]  # a class that the fold never saw says nothing on strength
        if len(outside) and int(known.sum()) > 1:
            splits.append((inside, outside))
    if not splits:
        return ()
    starts: list[Tensor | None] = [None] * len(splits)
    losses: list[tuple[float, float]] = []
    for strength in path:
        total, count = 0.0, 0
        for place, (inside, outside) in enumerate(splits):
            fitted = _fit(scaled[inside], truth[inside], classes, strength, starts[place], rough=True)
            starts[place] = fitted
            total += _loss(scaled[outside], truth[outside], fitted)
            count += len(outside)
        losses.append((float(strength), total / count))
        best = min(loss for _, loss in losses)
        if losses[-1][1] > best:
            break
    return tuple(losses)


def vertex(losses: Sequence[tuple[float, float]]) -> float:
    """Return the lowest point of the parabola through the best strength and its neighbours, on a log scale."""
    best = min(range(len(losses)), key=lambda place: losses[place][1])
    if not 0 < best < len(losses) - 1:
        return losses[best][0]
    (left, high), (middle, low), (right, rise) = losses[best - 1 : best + 2]
    x, y, z = np.log([left, middle, right])
    before, after = (y - x) * (low - rise), (y - z) * (low - high)
    if before == after:
        return middle
    return float(np.exp(y - 0.5 * ((y - x) * before - (y - z) * after) / (before - after)))


def _chunk(classes: int) -> int:
    return max(64, _LOGITS // classes)


def _loss(scaled: Tensor, truth: Tensor, parameters: Tensor) -> float:
    total = 0.0
    for start in range(0, len(truth), _chunk(len(parameters))):
        rows = slice(start, start + _chunk(len(parameters)))
        logits = torch.addmm(parameters[:, -1], scaled[rows], parameters[:, :-1].T)
        total += float(torch.nn.functional.cross_entropy(logits, truth[rows], reduction="sum"))
    return total


def _fit(
    scaled: Tensor, truth: Tensor, classes: int, strength: float, start: Tensor | None, *, rough: bool = False
) -> Tensor:
    """Return weight and bias as one (C, D + 1) tensor; the bias is not penalised."""
    rows, width = scaled.shape
    counts = torch.bincount(truth, minlength=classes)
    if start is None:
        start = torch.zeros(classes, width + 1)
        start[:, -1] = torch.log((counts + 1e-3) / (rows + 1e-3 * classes))
    parameters = start.clone()
    absent = counts == 0
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=30 if rough else 300,
        history_size=20,
        tolerance_grad=1e-5 if rough else 1e-7,
        tolerance_change=1e-4 if rough else 1e-7,
        line_search_fn="strong_wolfe",
    )
    chunk = _chunk(classes)
    penalty = strength / rows

    def closure() -> float:
        """Return the mean objective and leave its gradient, a chunk of rows at a time."""
        weight, bias = parameters[:, :-1], parameters[:, -1]
        gradient = torch.zeros_like(parameters)
        gradient[:, :-1] = penalty * weight
        total = 0.5 * penalty * torch.sum(weight.double() ** 2)
        for begin in range(0, rows, chunk):
            part, labels = scaled[begin : begin + chunk], truth[begin : begin + chunk]
            logits = torch.addmm(bias, part, weight.T).log_softmax(dim=1)
            places = torch.arange(len(labels))
            total = total - logits[places, labels].double().sum() / rows
            residual = logits.exp_()
            residual[places, labels] -= 1
            gradient[:, :-1].addmm_(residual.T, part, alpha=1 / rows)
            gradient[:, -1] += residual.sum(dim=0) / rows
        gradient[absent] = 0  # the bias of a class without rows would run to minus infinity
        parameters.grad = gradient
        return float(total)

    with torch.no_grad():
        optimizer.step(closure)
    return parameters
