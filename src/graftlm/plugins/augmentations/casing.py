"""Other casing: lower, upper, title."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation

if TYPE_CHECKING:
    import numpy as np


class Casing(TextAugmentation):
    """Writes the whole text in lower case, in capitals, or each word with a capital; not for uncased models."""

    source: ClassVar[str] = "Ribeiro et al. 2020, arXiv:2005.04118 (CheckList, invariance to casing)"

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text in one of the casings that differ from its own."""
        others = [one for one in (text.lower(), text.upper(), text.title()) if one != text]
        return others[int(rng.integers(len(others)))] if others else text
