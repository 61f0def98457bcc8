"""Interactions of users with items: put into order by time, the items given a text."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from graftlm.contracts.rows import Rows
from graftlm.core.errors import DataError

KEPT = b"graftlm-items"
"""Where prepared rows keep the catalogue: in the metadata of their table."""


def sequences(rows: Rows, at_least: float | None) -> dict[str, list[str]]:
    """Return the items of each user, by time; of equal times, in the order of the rows."""
    found: dict[str, list[tuple[float, int, str]]] = {}
    for number, example in enumerate(example for chunk in rows.chunks() for example in chunk):
        fields = example.fields
        rating = number_of(fields.get("rating"))
        if at_least is not None and rating is not None and rating < at_least:
            continue
        moment = moment_of(fields.get("time")) if fields.get("time") is not None else None
        step = (0.0 if moment is None else moment, number, str(fields["item"]))
        found.setdefault(str(fields["user"]), []).append(step)
    return {user: [item for *_, item in sorted(steps)] for user, steps in found.items()}


def item_texts(
    splits: Mapping[str, Rows], path: str | None, read: Callable[[str], dict[str, list[Any]]], names: Sequence[str]
) -> dict[str, str]:
    """Return the text of each item, from the file `path` or the column beside the interactions.

    `names` are those that people give to the column of ids.

    Raises:
        DataError: an item has none.
    """
    found: dict[str, str] = {}
    if path is not None:
        columns = read(path)
        given_names = list(columns)
        wanted = {name.casefold() for name in ("item", *names)}
        key = next((name for name in given_names if name.casefold() in wanted), given_names[0])
        others = [name for name in given_names if name != key]
        if not others:
            raise DataError(f"{path}: expected ids and texts of items; got the column '{key}' alone.")
        for row, item in enumerate(columns[key]):
            parts = [str(columns[name][row] or "").replace("|", ", ").strip() for name in others]
            found[str(item)] = ". ".join(part for part in parts if part)
    for rows in splits.values():
        items = rows.column("item")
        given = rows.column("text") if rows.has("text") else [None] * len(items)
        for row, (item, text) in enumerate(zip(items, given, strict=True)):
            if text is not None and str(text).strip():
                found.setdefault(str(item), str(text))
            elif not found.get(str(item)) and not rows.has("text"):
                source = (
                    f"'{path}' has none. Add the item to it, or take its rows out"
                    if path
                    else ("name a file of items with task.items, or a column with data.columns, {text: COLUMN}")
                )
                raise DataError(f"{rows.where(row)}: expected a text for the item {item!r}; {source}.")
    if bare := [item for item, text in found.items() if not text]:
        raise DataError(f"{len(bare)} items have an empty text (the first: {bare[0]!r}). Fill it in.")
    return found


def kept(rows: Rows) -> dict[str, Any] | None:
    """Return the catalogue that prepared rows carry."""
    held: Mapping[bytes, bytes] = rows.table.schema.metadata or {}
    return json.loads(held[KEPT]) if KEPT in held else None


def number_of(value: Any) -> float | None:
    """Return a value as a finite number, or None."""
    try:
        found = float(unicodedata.normalize("NFKC", value) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def moment_of(value: Any) -> float | None:
    """Return a time as a number that sorts: a number as it is, a date as seconds."""
    found = number_of(value)
    if found is not None:
        return found
    try:
        moment = datetime.fromisoformat(str(value).strip().replace("/", "-"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
