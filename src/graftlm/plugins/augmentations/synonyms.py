"""Synonyms from a dictionary of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts import groups
from graftlm.contracts.augmentation import Scene, TextAugmentation

if TYPE_CHECKING:
    import numpy as np


class Synonyms(TextAugmentation):
    """Puts synonyms of a given dictionary in the place of a share of the words that it knows."""

    source: ClassVar[str] = "Wei and Zou 2019, arXiv:1901.11196, section 2 (synonym replacement)"
    dictionary: str
    """File: one group of synonyms a line, commas or tabs between, or JSON `{word: [synonym, ...]}`; UTF-8."""

    def check(self, scene: Scene) -> None:
        """Read the dictionary.

        Raises:
            UserError: it cannot be read, or holds nothing.
        """
        groups.read(self.dictionary, "synonyms")

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some words replaced; a capital at the beginning stays one.

        Raises:
            UserError: the dictionary cannot be read, or holds nothing.
        """
        synonyms, pattern = groups.read(self.dictionary, "synonyms")
        found = list(pattern.finditer(text))
        out, end = [], 0
        for number in self.chosen(range(len(found)), rng):
            match = found[number]
            others = synonyms[match[0].lower()]
            other = others[int(rng.integers(len(others)))]
            if match[0][:1].isupper():
                other = other[:1].upper() + other[1:]
            out += [text[end : match.start()], other]
            end = match.end()
        return "".join([*out, text[end:]])
