"""Numbers as files write them: one a row, or several in a list or in as many columns."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Example
from graftlm.core.errors import DataError, listing


def numbers_of(target: Any) -> dict[str, float]:
    """Return the numbers of a row by name: those of a mapping, of a list (numbered from 1), or the one `value`.

    Raises:
        ValueError: one of them is no finite number.
    """
    if isinstance(target, Mapping):
        return {str(name): _number(value, f"column '{name}': ") for name, value in target.items()}
    if isinstance(target, list | tuple | np.ndarray):
        return {str(place): _number(value, "") for place, value in enumerate(target, 1)}
    return {"value": _number(target, "")}


def _number(given: Any, where: str) -> float:
    try:
        number = float(unicodedata.normalize("NFKC", given) if isinstance(given, str) else given)
    except (TypeError, ValueError):
        raise ValueError(f"{where}expected a number such as 3.5; got '{given}'") from None
    if not math.isfinite(number):
        raise ValueError(f"{where}expected a finite number; got '{given}'")
    return number


def table(rows: Rows) -> dict[str, list[float]]:
    """Return the numbers of all rows by name.

    Raises:
        DataError: a row's numbers cannot be read, or are more or fewer than in the rows before.
    """
    columns: dict[str, list[float]] = {}
    for chunk in rows.chunks():
        for example in chunk:
            try:
                found = numbers_of(example.target)
            except ValueError as fault:
                raise DataError(f"{example.where or example.id}: {fault}.") from None
            if columns and found.keys() != columns.keys():
                raise DataError(
                    f"{example.where}: expected {len(columns)} numbers, as in the rows before; got {len(found)}."
                )
            for name, value in found.items():
                columns.setdefault(name, []).append(value)
    return columns


def row_of(example: Example, names: Sequence[str]) -> np.ndarray:
    """Return the numbers of a row (C,) in the order of their names.

    Raises:
        DataError: a number is missing, or none.
    """
    try:
        found = numbers_of(example.target)
    except ValueError as fault:
        raise DataError(f"{example.where or example.id}: {fault}.") from None
    if len(names) == 1 and len(found) == 1:
        return np.array(list(found.values()))
    if lacking := [name for name in names if name not in found]:
        raise DataError(
            f"{example.where or example.id}: expected numbers for {listing(names)}; got none for {listing(lacking)}."
        )
    return np.array([found[name] for name in names])
