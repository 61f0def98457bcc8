"""The probabilities of all labels as a detail of an answer, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class Probabilities(Mapping[str, Any]):
    """A mapping with the one key `probabilities`, from logits (C,); `several`: each label's own, else one in all."""

    __slots__ = ("labels", "logits", "several")

    def __init__(self, labels: tuple[str, ...], logits: np.ndarray, *, several: bool = False) -> None:
        self.labels = labels
        self.logits = logits
        self.several = several

    def array(self) -> np.ndarray:
        """Return the probabilities (C,) as float64."""
        if self.several:
            return sigmoid(self.logits)
        grown = np.exp(self.logits - self.logits.max(), dtype=np.float64)
        return np.asarray(grown / grown.sum())

    def __getitem__(self, key: str) -> dict[str, float]:
        if key != "probabilities":
            raise KeyError(key)
        return dict(zip(self.labels, self.array().tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(("probabilities",))

    def __len__(self) -> int:
        return 1


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) as float64."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits, np.float64))))
