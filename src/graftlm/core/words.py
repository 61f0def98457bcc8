"""Words of a text with their places, also in scripts that put no spaces between them."""

from __future__ import annotations

import re
from collections.abc import Sequence

SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai to Burmese, Khmer, kana and Han, as the inside of a regular expression's class."""
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
)
_WORD = re.compile(f"[{SPACELESS}]|[0-9]+|(?:(?![{SPACELESS}0-9])[\\w{_MARKS}])+|\\S")
_CLOSE = re.compile(f"[{SPACELESS}\u2018-\u201d\u2026\u3000-\u303f\uff00-\uffef]")


def places(text: str) -> list[tuple[int, int]]:
    """Return start and end of each word: a run of letters or of digits, one sign, one character of spaceless scripts.

    Letters and digits are cut apart, since names in Chinese text stand beside numbers without a space.
    """
    return [found.span() for found in _WORD.finditer(text)]


def join(tokens: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return tokens as one text, and the place of each; no space stands beside characters of spaceless scripts."""
    parts: list[str] = []
    spots: list[tuple[int, int]] = []
    size = 0
    before = ""
    for token in tokens:
        if before and token and not _spaceless(before) and not _spaceless(token[0]):
            parts.append(" ")
            size += 1
        parts.append(token)
        spots.append((size, size + len(token)))
        size += len(token)
        before = token[-1:] or before
    return "".join(parts), spots


def _spaceless(sign: str) -> bool:
    return sign >= "\u0e00" and _CLOSE.match(sign) is not None


def owners(offsets: Sequence[tuple[int, int]], spots: Sequence[tuple[int, int]], text: str) -> list[int]:
    """Return for each word the number of the first sub-token that begins in it, -1 where none does.

    `offsets` are the places of the sub-tokens, `spots` those of the words, both rising.
    """
    found = [-1] * len(spots)
    word = 0
    for number, (start, end) in enumerate(offsets):
        while start < end and text[start].isspace():  # some tokenizers count the space before a word to it
            start += 1
        while word < len(spots) and spots[word][1] <= start:
            word += 1
        if word == len(spots):
            break
        if start < end and spots[word][0] < end and found[word] < 0:
            found[word] = number
    return found
