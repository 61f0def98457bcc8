"""How like a given answer is to the right ones: by words as SQuAD's script counts, by characters as CMRC's does."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

By = str
"""What is counted: "words" or "characters"."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CMRC_SIGNS = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_CMRC = str.maketrans("", "", _CMRC_SIGNS)
_PART = re.compile(r"[\u4e00-\u9fa5]|[0-9]+(?:[.,][0-9]+)*|[^\W\u4e00-\u9fa5]+|[^\w\s]")


def normal(text: str, by: By) -> str:
    """Return a text as answers are compared for being the same.

    By words: lower case, no ASCII punctuation, no articles, single spaces. By characters: lower case, without the
    signs that CMRC's script leaves out.
    """
    if by == "characters":
        return text.lower().strip().translate(_CMRC)
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, truths: Sequence[str], by: By) -> float:
    """Return 1 where the answer is one of the truths ("" says that there is none), else 0."""
    own = normal(answer, by)
    return float(any(own == normal(truth, by) for truth in _sound(truths, by)))


def overlap(answer: str, truths: Sequence[str], by: By) -> float:
    """Return the best F1 over the truths; 1 where both say that there is no answer."""
    compare: Callable[[list[str], list[str]], int] = _longest if by == "characters" else _common
    found = _parts(answer, by)
    return max(_f1(found, _parts(truth, by), compare) for truth in _sound(truths, by))


def _sound(truths: Sequence[str], by: By) -> list[str]:
    """Return the truths that hold something, or the one that says that there is no answer (as SQuAD's script)."""
    return [truth for truth in truths if normal(truth, by)] or [""]


def _parts(text: str, by: By) -> list[str]:
    return _PART.findall(normal(text, by)) if by == "characters" else normal(text, by).split()


def _f1(found: list[str], true: list[str], compare: Callable[[list[str], list[str]], int]) -> float:
    if not found or not true:
        return float(found == true)
    same = compare(found, true)
    return 2 * same / (len(found) + len(true))


def _common(one: list[str], two: list[str]) -> int:
    """Return how many words two answers share, each as often as it stands in both."""
    return sum((Counter(one) & Counter(two)).values())


def _longest(one: list[str], two: list[str]) -> int:
    """Return the length of the longest run that stands in both."""
    best, before = 0, [0] * (len(two) + 1)
    for sign in one:
        row = [0] * (len(two) + 1)
        for place, other in enumerate(two):
            if sign == other:
                row[place + 1] = before[place] + 1
        best = max(best, *row)
        before = row
    return best
