"""Insert words of the text itself at other places (single characters in Chinese)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation, units

if TYPE_CHECKING:
    import numpy as np


class WordInsert(TextAugmentation):
    """Says some words of the text twice, the second time at a random place: no dictionary is needed."""

    source: ClassVar[str] = (
        "Karimi et al. 2021, arXiv:2108.13230 (AEDA) for insertion without a dictionary; words of the text"
    )

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some of its words inserted once more."""
        parts = units(text)
        words = [n for n, part in enumerate(parts) if not part.isspace()]
        spoken = [parts[n] for n in self.chosen(words, rng)]
        gap = " " if any(part.isspace() for part in parts) else ""
        for word in spoken:
            place = int(rng.integers(len(parts) + 1))
            ends = place == len(parts)
            parts[place:place] = [gap, word] if ends or parts[place].isspace() else [word, gap]
        return "".join(parts)
