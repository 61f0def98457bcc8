"""Sets of labels as files write them: lists, texts with a delimiter, columns of 0 and 1."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graftlm.contracts.one_label import label_of

DELIMITERS = (("|", "｜"), (";", "；"), ("、",), (",", "，"))
"""What stands between labels, with its full-width form; those first that hardly ever are part of a label."""

_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no", ""}


def labels_of(target: Any, delimiter: str | None = None) -> list[str]:
    """Return the labels of a row, each once: of a list, a text of them, or a mapping from label to 0 and 1.

    `delimiter` parts a text; None: the first of `DELIMITERS` that stands in it; "none": nothing does.

    Raises:
        ValueError: a value of such a mapping is neither 0 nor 1.
    """
    if isinstance(target, Mapping):
        return [str(name) for name, value in target.items() if _flag(name, value)]
    if target is None or (isinstance(target, float) and target != target):
        return []
    if isinstance(target, str):
        target = _parted(target.strip(), delimiter)
    many = target if isinstance(target, list | tuple | set | np.ndarray) else [target]
    labels = (label_of(value) for value in many)
    return list(dict.fromkeys(label.strip() for label in labels if label is not None))


def delimiters(value: Any) -> list[str]:
    """Return which of `DELIMITERS` stand in a text of labels."""
    if not isinstance(value, str) or value.lstrip().startswith("["):
        return []
    return [marks[0] for marks in DELIMITERS if any(mark in value for mark in marks)]


def _parted(text: str, delimiter: str | None) -> Sequence[Any]:
    if text.startswith("[") and text.endswith("]"):  # a list that became text on its way through a table
        for read in (json.loads, ast.literal_eval):
            try:
                return list(read(text))
            except (ValueError, SyntaxError, TypeError):
                continue
    if delimiter is None:
        delimiter = next(iter(delimiters(text)), "none")
    if delimiter == "none":
        return [text]
    alike = next((marks for marks in DELIMITERS if delimiter in marks), (delimiter,))
    return re.split("|".join(map(re.escape, alike)), text)


def _flag(name: Any, value: Any) -> bool:
    text = str("" if value is None else value).strip().casefold()
    if text not in _YES | _NO:
        raise ValueError(f"column '{name}' holds '{value}'; expected 0 or 1 (or true, false, empty)")
    return text in _YES
