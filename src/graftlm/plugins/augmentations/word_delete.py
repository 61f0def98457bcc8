"""Delete words (single characters in Chinese)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation, units

if TYPE_CHECKING:
    import numpy as np


class WordDelete(TextAugmentation):
    """Takes out a share of the words; a text of one word stays."""

    source: ClassVar[str] = "Wei and Zou 2019, arXiv:1901.11196, section 2 (random deletion)"

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text without some of its words and the white space after them."""
        parts = units(text)
        places = [n for n, part in enumerate(parts) if not part.isspace()]
        gone = set(self.chosen(places, rng)) if len(places) > 1 else set()
        if gone and len(gone) == len(places):
            gone.discard(places[0])
        out: list[str] = []
        for n, part in enumerate(parts):
            after_gone = n - 1 in gone and part.isspace()
            if n not in gone and not after_gone:
                out.append(part)
        return "".join(out).strip() if gone else text
