"""Whole words in the place of whole words: which words of a text may change, and which tokens are words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from graftlm.contracts.marked import SIGNS
from graftlm.core import words

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_SPACELESS = re.compile(f"[{words.SPACELESS}]")
_GLUE = re.compile(f"[\\d_'’\\-@#/&{SIGNS}]")
LONGEST = 6
"""Characters of the longest word that is looked for in Chinese text."""


def han(word: str) -> bool:
    """Tell whether a word begins with a Chinese character."""
    return _HAN.match(word) is not None


def replaceable(text: str, known: Collection[str] = ()) -> list[tuple[int, int]]:
    """Return the places of the words that may change: none that is part of a name, a number or a labelled place.

    In Chinese these are the longest words of `known`, read from left to right, and single characters where none begins;
    in other scripts without spaces there are none.
    """
    found: list[tuple[int, int]] = []
    spots = words.places(text)
    at = 0
    for start, end in spots:
        if start < at:
            continue
        if han(text[start]):
            while end < len(text) and end - start < LONGEST and han(text[end]):
                end += 1
            while end > start + 1 and text[start:end] not in known:
                end -= 1
            found.append((start, end))
            at = end
        elif text[start].isalpha() and not _SPACELESS.match(text[start]) and not _tied(text, start, end):
            found.append((start, end))
    return found


def _tied(text: str, start: int, end: int) -> bool:
    """Tell whether a word is but a part of what is written without a space: don't, state-of-the-art, a.b, x86."""
    if start and (_GLUE.match(text[start - 1]) or text[start - 1] == "."):
        return True
    after = text[end : end + 2]
    return bool(_GLUE.match(after)) or (after[:1] == "." and after[1:].isalnum())


def cased(word: str, like: str) -> str:
    """Return a word in lower case, in capitals or with one, as another is written."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def put(text: str, places: Sequence[tuple[int, int]], others: Sequence[str]) -> str:
    """Return a text with other words at some places, which rise."""
    out, at = [], 0
    for (start, end), other in zip(places, others, strict=True):
        out += [text[at:start], other]
        at = end
    return "".join([*out, text[at:]])


def whole_words(tokenizer: Any) -> dict[str, int]:
    """Return the token of each word in lower case, or single Chinese character, that is one token.

    Pieces of words, signs, numbers and special tokens are none.
    """
    special = set(tokenizer.all_special_ids)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda one: one[1])
    pieces = [(token, number) for token, number in vocabulary if number not in special]
    plain = [tokenizer.convert_tokens_to_string([token]).strip() for token, _ in pieces]
    found: dict[str, int] = {}
    for word, number, own in _alone(tokenizer, pieces, plain):
        if own == [number] or (han(word) and own[-1:] == [number]):
            found.setdefault(word, number)
    return found


def _alone(
    tokenizer: Any, pieces: Sequence[tuple[str, int]], plain: Sequence[str]
) -> Iterator[tuple[str, int, list[int]]]:
    """Yield each word with its token and the tokens that it gives after a space."""
    kept = [
        (word, number)
        for word, (_, number) in zip(plain, pieces, strict=True)
        if word.isalpha()
        and word == word.lower()
        and (han(word[0]) if len(word) == 1 and _SPACELESS.match(word) else not _SPACELESS.search(word))
    ]
    if kept:
        ids = tokenizer([f" {word}" for word, _ in kept], add_special_tokens=False)["input_ids"]
        for (word, number), own in zip(kept, ids, strict=True):
            yield word, number, list(own)
