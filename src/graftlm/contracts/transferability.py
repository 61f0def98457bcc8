"""Transferability scores: how well a base model's features suit the data, before training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class View:
    """Frozen features (N, D) of the training rows and their targets (N,)."""

    features: np.ndarray
    target: np.ndarray


class Transferability(Plugin):
    """Scores a view; higher is better."""

    kind: ClassVar[str] = "transferability"
    needs: ClassVar[frozenset[str]] = frozenset()
    cost: ClassVar[str] = ""

    @abstractmethod
    def __call__(self, view: View) -> float:
        """Return the score."""
