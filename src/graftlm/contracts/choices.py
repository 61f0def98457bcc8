"""Choices as files write them, and the answer that names one of them: by text, name, letter or number."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graftlm.contracts.values import Example
from graftlm.core.textual import written

FORMS = ("text", "name", "letter", "small_letter", "from_zero", "from_one")
"""Ways in which an answer names a choice; those first that can hardly be meant otherwise."""

_TEXTS = ("text", "choice", "option", "content", "value", "answer", "文本", "内容", "选项")
_NAMES = ("label", "key", "id", "name", "letter", "标号", "编号")


def choices_of(value: Any) -> tuple[list[str], list[str]]:
    """Return the texts of the choices, and their names where they have some: of a list, a mapping or a text.

    A mapping holds the columns of a row, or the lists `text` and `label`; a list may hold mappings with `text` and
    `label`; a text is a list in JSON, or has its choices on lines of their own, or `|` between them.
    """
    if isinstance(value, str):
        value = _parted(value.strip())
    if isinstance(value, Mapping):
        texts, names = value.get("text", value.get("texts")), value.get("label", value.get("labels"))
        if not isinstance(texts, list):
            given = [(str(name), text) for name, text in value.items() if text is not None and str(text).strip()]
            return [str(text) for _, text in given], [name for name, _ in given]
        return [str(text) for text in texts], [str(name) for name in names or ()]
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) and all(isinstance(one, Mapping) for one in value):
            labels = [_part(one, _NAMES) for one in value]
            return [_part(one, _TEXTS) for one in value], labels if all(labels) else []
        return ["" if text is None else str(text) for text in value], []
    return [], []


def _part(one: Mapping[str, Any], keys: Sequence[str]) -> str:
    return str(next((one[key] for key in keys if one.get(key) is not None), ""))


def _parted(text: str) -> Any:
    if (found := written(text)) is not None:
        return found
    parts = re.split(r"\n" if "\n" in text else r"[|｜]", text)
    return [part.strip() for part in parts if part.strip()]


def position(answer: Any, texts: Sequence[str], names: Sequence[str], form: str) -> int | None:
    """Return the number of the choice, from 0, that an answer names in a form; None where it names none."""
    said = unicodedata.normalize("NFKC", str(answer)).strip()
    if form == "text":
        known = [unicodedata.normalize("NFKC", text).strip() for text in texts]
        return known.index(said) if said in known else None
    if form == "name":
        return names.index(said) if said in names else None
    if form in ("letter", "small_letter"):
        letter = said.strip("(). ")
        place = ord(letter) - ord("A" if form == "letter" else "a") if len(letter) == 1 else -1
    elif re.fullmatch(r"\d{1,3}", said):
        place = int(said) - (form == "from_one")
    else:
        return None
    return place if 0 <= place < len(texts) else None


def named(place: int, texts: Sequence[str], names: Sequence[str], form: str) -> str:
    """Return the answer that names a choice in a form."""
    if form in ("text", "name"):
        return (texts if form == "text" else names)[place]
    if form in ("letter", "small_letter"):
        return chr(ord("A" if form == "letter" else "a") + place)
    return str(place + (form == "from_one"))


def forms_of(example: Example) -> list[str]:
    """Return the forms in which an example's answer names one of its choices."""
    texts, names = choices_of(example.fields.get("choices"))
    return [form for form in FORMS if position(example.target, texts, names, form) is not None]


def commonest(counts: Counter[str]) -> list[str]:
    """Return the forms that read the most answers, in the order in which they are believed."""
    most = max(counts.values(), default=0)
    return [form for form in FORMS if counts[form] == most and most]


def truth_of(example: Example, form: str) -> int | None:
    """Return the number of an example's right choice, or None where its answer names none."""
    return position(example.target, *choices_of(example.fields.get("choices")), form)
