"""Tables of the pages: any JSON values as cells that can be read and sorted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graftlm.report.figures import finite, interval, mapping, number, sequence
from graftlm.report.words import both, column, say
from graftlm.report.words import given as known

ROWS, COLUMNS, TEXT = 400, 24, 400
"""Rows, columns and characters of a cell that a page shows at most."""
CELLS = 8_000
"""Cells that all tables of a task's own may have together: some 500 kB."""


def table(
    caption: Any, columns: Sequence[Any], rows: Iterable[Sequence[dict[str, Any]]], **more: Any
) -> dict[str, Any]:
    """Return a table for the templates: caption, column titles with alignment, rows of cells, rows left out."""
    kept = [list(row) for row in rows]
    shown = kept[:ROWS]
    numeric = [any(len(row) > n and row[n].get("sort") is not None for row in shown) for n in range(len(columns))]
    heads = [{"title": both(title), "number": number} for title, number in zip(columns, numeric, strict=True)]
    return {"caption": both(caption), "columns": heads, "rows": shown, "hidden": len(kept) - len(shown), **more}


def cell(
    value: Any, *, text: Any = None, share: bool = False, percent: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Return a cell: what it shows, what it sorts by (None: its text), and a share in percent that fills it."""
    if finite(value):
        shown = number(value, True) if percent or share else _plain(value)
        filled = round(100 * min(max(float(value), 0.0), 1.0), 1) if share else None
        return {"text": both(shown if text is None else text), "sort": value, "share": filled, "quiet": quiet}
    return {"text": both(words(value) if text is None else text), "sort": None, "share": None, "quiet": quiet}


def score_cell(score: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the cell of a figure with its interval."""
    score = mapping(score)
    percent = bool(score.get("percent"))
    found = cell(score.get("value"), percent=percent)
    value = score.get("value")
    if finite(value):
        found["text"] = both(number(value, percent))
    return {**found, "more": interval(score)}


def words(value: Any) -> str:
    """Return any JSON value as a short text; nothing is a dash."""
    if value is None or (isinstance(value, float) and not finite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | int):
        return _plain(value)
    if isinstance(value, Mapping):
        said = ", ".join(f"{key}: {words(one)}" for key, one in value.items())
    elif isinstance(value, list | tuple | set):
        said = ", ".join(words(one) for one in value)
    else:
        said = str(value)
    return said if len(said) <= TEXT else f"{said[: TEXT - 1]}…"


def per_class(details: Mapping[str, Any], caption: Any) -> dict[str, Any] | None:
    """Return the table of classes, whatever columns it has; shares between 0 and 1 are told in percent."""
    rows = [row for row in sequence(details.get("per_class")) if mapping(row)]
    if not rows:
        return None
    names = list(dict.fromkeys(name for row in rows for name in row))[:COLUMNS]
    shares = {name for name in names if _is_share([row.get(name) for row in rows])}
    body = [[cell(row.get(name), share=name in shares) for name in names] for row in rows]
    titles = [column(name) + (" %" if name in shares else "") for name in names]
    return table(caption, titles, body, sortable=True, tall=True, titled=True)


def own(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a task's own tables; what is malformed is shown as far as it can be read."""
    found, left = [], CELLS
    for given in map(mapping, sequence(details.get("tables"))):
        if left <= 0:
            break
        rows = sequence(given.get("rows"))
        names = [words(name) for name in sequence(given.get("columns"))]
        if not names and rows and isinstance(rows[0], Mapping):
            names = [str(name) for name in rows[0]]
        lists = [[row.get(name) for name in names] if isinstance(row, Mapping) else _as_list(row) for row in rows]
        width = min(COLUMNS, max([len(names), *(len(row) for row in lists[:ROWS])], default=0))
        if not width:
            continue
        names += [""] * (width - len(names))
        most = max(1, left // width)
        body = [[cell(value) for value in [*row, *[None] * width][:width]] for row in lists[: min(ROWS, most)]]
        left -= len(body) * width
        title = known(words(given["title"])) if given.get("title") else say("table")
        about = known(words(given["about"])) if given.get("about") else ""
        heads = [column(name) for name in names[:width]]
        made = table(title, heads, body, sortable=True, titled=True, tall=len(body) > 15, about=about)
        made["hidden"] = len(lists) - len(body)
        found.append(made)
    return found


def _as_list(row: Any) -> list[Any]:
    return list(row) if isinstance(row, list | tuple) else [row]


def _is_share(values: Sequence[Any]) -> bool:
    known = [value for value in values if value is not None]
    if not all(isinstance(value, float) for value in known):
        return False
    real = [value for value in known if finite(value)]
    return bool(real) and all(0 <= value <= 1 for value in real)


def _plain(value: float) -> str:
    """Return a number as people write it: 12,345 or 0.277 or 1.2e-07."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 else f"{value:.4g}"
