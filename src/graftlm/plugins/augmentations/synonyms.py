"""Synonyms from a dictionary of the user's own."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import TextAugmentation
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import re

    import numpy as np


@lru_cache(maxsize=8)
def _dictionary(path: str) -> tuple[dict[str, list[str]], re.Pattern[str]]:
    """Return synonyms by word in lower case, and a pattern that finds the words, the longest first."""
    import re

    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"augmentations.synonyms: the dictionary '{path}' cannot be read: {fault}.") from None
    found: dict[str, list[str]] = {}
    try:
        if file.suffix == ".json":
            given = json.loads(text)
            groups = [[word, *([others] if isinstance(others, str) else others)] for word, others in given.items()]
            for word, *others in groups:
                found.setdefault(str(word).lower(), []).extend(map(str, others))
        else:
            for line in text.splitlines():
                words = [word.strip() for word in re.split(r"[\t,，]", line) if word.strip()]
                for word in words:
                    found.setdefault(word.lower(), []).extend(other for other in words if other != word)
    except (json.JSONDecodeError, AttributeError, TypeError) as fault:
        raise UserError(
            f"augmentations.synonyms: expected '{path}' to be JSON of the form {{word: [synonym, ...]}}; got {fault}."
        ) from None
    found = {word: others for word, others in found.items() if others}
    if not found:
        raise UserError(
            f"augmentations.synonyms: the dictionary '{path}' holds no synonyms. Write one group a line, words with "
            "commas or tabs between, or JSON {word: [synonym, ...]}."
        )
    # Latin words end where letters end; Chinese ones have no such ends
    words = sorted(found, key=len, reverse=True)
    parts = [rf"(?<![^\W_]){re.escape(w)}(?![^\W_])" if w.isascii() else re.escape(w) for w in words]
    return found, re.compile("|".join(parts), re.IGNORECASE)


class Synonyms(TextAugmentation):
    """Puts synonyms of a given dictionary in the place of a share of the words that it knows."""

    source: ClassVar[str] = "Wei and Zou 2019, arXiv:1901.11196, section 2 (synonym replacement)"
    dictionary: str
    """File: one group of synonyms a line, commas or tabs between, or JSON `{word: [synonym, ...]}`; UTF-8."""

    def change(self, text: str, rng: np.random.Generator) -> str:
        """Return the text with some words replaced; a capital at the beginning stays one.

        Raises:
            UserError: the dictionary cannot be read, or holds nothing.
        """
        synonyms, pattern = _dictionary(self.dictionary)
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
