"""Typing errors: a neighbouring key, a letter left out, twice or exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation

if TYPE_CHECKING:
    import numpy as np


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    found: dict[str, str] = {}
    for y, row in enumerate(_ROWS):
        for x, key in enumerate(row):
            near = [(y, x - 1), (y, x + 1), (y - 1, x), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x)]
            found[key] = "".join(_ROWS[b][a] for b, a in near if 0 <= b < 3 and 0 <= a < len(_ROWS[b]))
    return found


NEIGHBOURS = _neighbours()
"""Keys beside each key of a QWERTY keyboard."""


class Typos(TextAugmentation):
    """Makes the slips of a hand on a QWERTY keyboard in Latin words; the first letter of a word is right."""

    source: ClassVar[str] = "Belinkov and Bisk 2018, arXiv:1711.02173, section 3.2 (keyboard, swap)"

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with slips at a share of its letters."""
        letters = list(text)
        places = [n for n in range(1, len(text)) if text[n].lower() in NEIGHBOURS and text[n - 1].lower() in NEIGHBOURS]
        for n in self.chosen(places, rng):
            key = text[n]
            slip = int(rng.integers(4))
            if slip == 0:
                near = NEIGHBOURS[key.lower()]
                other = near[int(rng.integers(len(near)))]
                letters[n] = other.upper() if key.isupper() else other
            elif slip == 1:
                letters[n] = ""
            elif slip == 3 and (other_place := _beside(text, n)) is not None:
                letters[n], letters[other_place] = letters[other_place], letters[n]
            else:
                letters[n] = key + key
        return "".join(letters)


def _beside(text: str, n: int) -> int | None:
    """Return the place of a letter that one may be exchanged with: not the first of a word."""
    if n >= 2 and text[n - 2].lower() in NEIGHBOURS:
        return n - 1
    return n + 1 if n + 1 < len(text) and text[n + 1].lower() in NEIGHBOURS else None
