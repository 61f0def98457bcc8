"""Full-width letters, digits and punctuation, as Chinese and Japanese input methods write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation

if TYPE_CHECKING:
    import numpy as np


class FullWidth(TextAugmentation):
    """Turns a share of the ASCII signs into their full-width forms, and full-width ones back."""

    source: ClassVar[str] = "Unicode, Halfwidth and Fullwidth Forms (U+FF01 to U+FF5E)"

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some signs in the other width."""
        signs = list(text)
        places = [n for n, sign in enumerate(signs) if "!" <= sign <= "~" or "\uff01" <= sign <= "\uff5e"]
        for n in self.chosen(places, rng):
            code = ord(signs[n])
            signs[n] = chr(code + 0xFEE0 if code < 0x7F else code - 0xFEE0)
        return "".join(signs)
