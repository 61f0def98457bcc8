"""Sets of labels as files write them: lists, texts with a delimiter, columns of 0 and 1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graftlm.contracts.one_label import label_of
from graftlm.core.textual import written

DELIMITERS = (("|", "｜"), (";", "；"), ("、",), (",", "，"))
"""What stands between labels, with its full-width form; those first that hardly ever are part of a label."""

NOT_LABELS = (list, tuple, dict, set, np.ndarray)
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no", ""}


def labels_of(target: Any, delimiter: str | None = None, names: Sequence[str] = ()) -> list[str]:
    """Return the labels of a row, each once: of a list, a text of them, or a mapping from label to 0 and 1.

    `delimiter` parts a text; None: the first of `DELIMITERS` that stands in it; "none": nothing does. With `names` a
    list holds 0 or 1 for each of them.

    Raises:
        ValueError: a value of such a mapping or list is neither 0 nor 1, or a label is no text or number.
    """
    if isinstance(target, Mapping):
        return [str(name) for name, value in target.items() if _flag(name, value)]
    if target is None or (isinstance(target, float) and target != target):
        return []
    if isinstance(target, str):
        target = _parted(target.strip(), delimiter)
    many = target if isinstance(target, list | tuple | set | np.ndarray) else [target]
    if names:
        if len(many) != len(names):
            raise ValueError(
                f"expected 0 or 1 for each of the {len(names)} labels (task.names); got {len(many)} values"
            )
        return [name for name, value in zip(names, many, strict=True) if _flag(name, value)]
    if strange := next((value for value in many if isinstance(value, NOT_LABELS)), None):
        raise ValueError(f"expected a label as text or number; got {strange!r:.60}")
    labels = (label_of(value) for value in many)
    return list(dict.fromkeys(label.strip() for label in labels if label is not None))


def vector(value: Any) -> int:
    """Return the length of a list that holds 0 and 1 alone, one of them again; 0 where a value is none."""
    many = _parted(value.strip(), "none") if isinstance(value, str) and value.lstrip().startswith("[") else value
    if not isinstance(many, list | tuple | np.ndarray) or isinstance(value, Mapping):
        return 0
    flags = [str(label_of(one)).casefold() for one in many if not isinstance(one, NOT_LABELS)]
    alike = len(flags) == len(many) and set(flags) <= {"0", "1", "true", "false"}
    return len(flags) if alike and len(set(flags)) < len(flags) else 0


def delimiters(value: Any) -> list[str]:
    """Return which of `DELIMITERS` stand in a text of labels."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return []
    return [marks[0] for marks in DELIMITERS if any(mark in value for mark in marks)]


def _parted(text: str, delimiter: str | None) -> Sequence[Any]:
    if text.startswith("[") and text.endswith("]"):  # a list that became text on its way through a table
        found = written(text)
        if isinstance(found, list):
            return found
    if delimiter is None:
        delimiter = next(iter(delimiters(text)), "none")
    if delimiter == "none":
        return [text]
    alike = next((marks for marks in DELIMITERS if delimiter in marks), (delimiter,))
    return re.split("|".join(map(re.escape, alike)), text)


def _flag(name: Any, value: Any) -> bool:
    text = (label_of(value) or "").strip().casefold()
    if text not in _YES | _NO:
        raise ValueError(f"column '{name}' holds '{value}'; expected 0 or 1 (or true, false, empty)")
    return text in _YES
