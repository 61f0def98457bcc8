"""Swap neighbouring words (single characters in Chinese)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation, units

if TYPE_CHECKING:
    import numpy as np


class WordSwap(TextAugmentation):
    """Exchanges a word with the next one; the words of the text stay the same, their order does not."""

    source: ClassVar[str] = "Wei and Zou 2019, arXiv:1901.11196, section 2 (random swap), here of neighbours"

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some neighbours exchanged."""
        parts = units(text)
        places = [n for n, part in enumerate(parts) if not part.isspace()]
        for place in self.chosen(range(len(places) - 1), rng):
            one, other = places[place], places[place + 1]
            parts[one], parts[other] = parts[other], parts[one]
        return "".join(parts)
