"""Augmentations: more training examples from one. Never on validation or test rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.values import Example
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np


class Augmentation(Plugin):
    """Expands examples of the training split."""

    kind: ClassVar[str] = "augmentation"

    @abstractmethod
    def expand(self, example: Example, rng: np.random.Generator) -> Iterable[Example]:
        """Yield the examples that replace this one (itself among them, if it is to stay)."""
