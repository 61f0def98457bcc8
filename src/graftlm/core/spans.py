"""Labelled character spans as people write them: lists of mappings or triples, or CLUENER's mapping of labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from graftlm.core.naming import folded
from graftlm.core.words import places

Span = tuple[int, int, str]
"""Start, end (not in it), label."""

_START = ("start", "start_offset", "start_idx", "begin", "from", "开始", "起始", "起始位置", "开始位置")
_END = ("end", "end_offset", "end_idx", "stop", "to", "结束", "终止", "结束位置", "终止位置")
_LABEL = ("label", "type", "entity_type", "entity_group", "tag", "category", "labels", "entity", "标签", "类型", "类别",
          "实体类型")  # fmt: skip
_TEXT = ("text", "surface", "mention", "word", "entity", "value", "文本", "实体", "内容")


def read(given: Any, text: str) -> list[Span]:
    """Return the spans of a text, rising; an end that is the last character's place is told by the span's own text.

    Raises:
        ValueError: a span lacks a part, lies outside the text, does not hold the text it names, or overlaps another.
    """
    if isinstance(given, str):
        given = json.loads(given)
    found = set()
    for start, end, label, surface in _each(given):
        if surface is not None and text[start:end] != surface:
            if text[start : end + 1] == surface:
                end += 1
            elif spot := _by_words(start, end, surface, text):
                start, end = spot
        if surface is None and 0 <= start == end < len(text):
            raise ValueError(
                f"the span {start} to {end} is empty; an end is the place behind the last character. If yours are the "
                "places of last characters, add 1 to them, or a field 'text' that holds the span's own text"
            )
        if not 0 <= start <= end <= len(text):
            raise ValueError(f"the span {start} to {end} lies outside the text, which has {len(text)} characters")
        if surface is not None and text[start:end] != surface:
            raise ValueError(f"the span {start} to {end} holds {text[start:end]!r}, but it is said to be {surface!r}")
        found.add((start, end, label))
    spans = sorted(found)
    for one, two in zip(spans, spans[1:], strict=False):
        if two[0] < one[1]:
            raise ValueError(
                f"the spans {one[0]} to {one[1]} ({one[2]}) and {two[0]} to {two[1]} ({two[2]}) overlap; "
                "each character belongs to one entity at most"
            )
    return spans


def _by_words(start: int, end: int, surface: str, text: str) -> tuple[int, int] | None:
    """Return the place of a span's own text where start and end are numbers of words, the end's word in it or not."""
    cuts = ([spot.span() for spot in re.finditer(cut, text)] for cut in (r"\S+", r"\w+|[^\w\s]"))
    for spots in (*cuts, places(text)):
        for last in (end, end - 1):
            if 0 <= start <= last < len(spots) and text[spots[start][0] : spots[last][1]] == surface:
                return spots[start][0], spots[last][1]
    return None


def _each(given: Any) -> Iterator[tuple[int, int, str, str | None]]:
    if isinstance(given, Mapping):
        for label, of_text in given.items():
            for surface, pairs in (of_text or {}).items():
                for pair in pairs or ():
                    yield *_numbers(pair), str(label), str(surface)
        return
    for one in given:
        if isinstance(one, Mapping):
            one = {folded(str(key)): value for key, value in one.items()}
            start, end, label = (_first(one, names) for names in (_START, _END, _LABEL))
            label = label[0] if isinstance(label, list) and len(label) == 1 else label
            if start is None or end is None or not isinstance(label, str):
                raise ValueError(f"expected a span with start, end and label, found {_shown(one)}")
            named = next((key for key in _LABEL if one.get(key) is not None), "")
            surface = next((one[key] for key in _TEXT if key != named and isinstance(one.get(key), str)), None)
            yield *_numbers((start, end)), label, surface
        elif isinstance(one, list | tuple) and len(one) == 3:
            yield *_numbers(one[:2]), str(one[2]), None
        else:
            raise ValueError(f"expected a span with start, end and label, found {_shown(one)}")


def _first(one: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((one[name] for name in names if one.get(name) is not None), None)


def _numbers(pair: Any) -> tuple[int, int]:
    try:
        start, end = (int(value) for value in pair)
    except (TypeError, ValueError):
        raise ValueError(f"expected start and end as whole numbers, found {_shown(pair)}") from None
    return start, end


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
