"""Groups of words that may stand for each other, from a file of the user's own."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from graftlm.core.errors import UserError

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+")


@lru_cache(maxsize=8)
def read(path: str, asker: str, *, characters: bool = False) -> tuple[dict[str, list[str]], re.Pattern[str]]:
    """Return the others of each word in lower case, and a pattern that finds the words, the longest first.

    The file holds a group a line, commas or tabs between its words, or JSON `{word: [other, ...]}`; with `characters`
    a line of Chinese characters alone is a group of them. `asker` is named in messages.

    Raises:
        UserError: it cannot be read, or holds no group.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"augmentations.{asker}: the file '{path}' cannot be read: {fault}.") from None
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
                if characters and len(words) == 1 and _HAN.fullmatch(words[0]):
                    words = list(words[0])
                for word in words:
                    found.setdefault(word.lower(), []).extend(other for other in words if other != word)
    except (json.JSONDecodeError, AttributeError, TypeError) as fault:
        raise UserError(
            f"augmentations.{asker}: expected '{path}' to be JSON of the form {{word: [other, ...]}}; got {fault}."
        ) from None
    found = {word: others for word, others in found.items() if others}
    if not found:
        raise UserError(
            f"augmentations.{asker}: the file '{path}' holds no group of words. Write one group a line, words with "
            "commas or tabs between, or JSON {word: [other, ...]}."
        )
    # Latin words end where letters end; Chinese ones have no such ends
    longest = sorted(found, key=len, reverse=True)
    parts = [rf"(?<![^\W_]){re.escape(w)}(?![^\W_])" if w.isascii() else re.escape(w) for w in longest]
    return found, re.compile("|".join(parts), re.IGNORECASE)
