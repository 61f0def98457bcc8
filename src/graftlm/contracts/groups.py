"""Groups of words that may stand for each other, from a file of the user's own."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from graftlm.core import words
from graftlm.core.errors import UserError

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+")


# a word of letters ends where letters end, beside a Chinese character too; in scripts without spaces no word has ends
_BARE = re.compile(f"[{words.SPACELESS}]")
_BEFORE, _AFTER = f"(?<![^\\W_{words.SPACELESS}])", f"(?![^\\W_{words.SPACELESS}])"


def _ends(sign: str) -> bool:
    return sign.isalnum() and _BARE.match(sign) is None


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
    except OSError as fault:
        raise UserError(
            f"augmentations.{asker}: the file '{path}' cannot be read: {fault.strerror or fault}."
        ) from None
    except UnicodeDecodeError as fault:
        raise UserError(f"augmentations.{asker}: '{path}' is not UTF-8 ({fault}). Save it as UTF-8.") from None
    found: dict[str, list[str]] = {}
    try:
        if file.suffix == ".json":
            given = json.loads(text)
            for word, others in given.items():
                others = [others] if isinstance(others, str) else others
                if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
                    raise TypeError(f"{json.dumps(others, ensure_ascii=False)} for '{word}'")
                found.setdefault(str(word).lower(), []).extend(others)
        else:
            for line in text.splitlines():
                some = [word.strip() for word in re.split(r"[\t,，]", line) if word.strip()]
                if characters and len(some) == 1 and _HAN.fullmatch(some[0]):
                    some = list(some[0])
                for word in some:
                    found.setdefault(word.lower(), []).extend(other for other in some if other != word)
    except (json.JSONDecodeError, AttributeError, TypeError) as fault:
        said = f"a {type(given).__name__}" if isinstance(fault, AttributeError) else fault
        raise UserError(
            f"augmentations.{asker}: expected '{path}' to be JSON of the form {{word: [other, ...]}}; got {said}."
        ) from None
    found = {word: others for word, others in found.items() if others}
    if not found:
        raise UserError(
            f"augmentations.{asker}: the file '{path}' holds no group of words. Write one group a line, words with "
            "commas or tabs between, or JSON {word: [other, ...]}."
        )
    longest = sorted(found, key=len, reverse=True)
    parts = [_BEFORE * _ends(w[0]) + re.escape(w) + _AFTER * _ends(w[-1]) for w in longest]
    return found, re.compile("|".join(parts), re.IGNORECASE)
