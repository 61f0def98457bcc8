"""Regular expressions in a tokenizer: those that can take exponential time are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 20_000


def explosive(pattern: str) -> str | None:
    """Return why a pattern can take exponential time, or None.

    Refused are a repeated group that itself holds a repetition or an alternative (`(a+)+`, `(a|a)*`)
    and references to earlier groups; the patterns of published tokenizers hold neither.
    """
    if len(pattern) > LONGEST:
        return f"it has {len(pattern)} characters"
    groups: list[bool] = []
    inside_class = 0
    place, last_group = 0, False
    while place < len(pattern):
        sign = pattern[place]
        if sign == "\\":
            following = pattern[place + 1 : place + 2]
            if not inside_class and (following.isdigit() and following != "0" or following in ("k", "g")):
                return "it refers to an earlier group"
            place, last_group = place + 2, False
            continue
        if inside_class:
            inside_class += {"[": 1, "]": -1}.get(sign, 0)
            place, last_group = place + 1, False
            continue
        unbounded = sign in "*+" or (sign == "{" and _endless(pattern, place))
        if sign == "[":
            inside_class, last_group = 1, False
            # a bracket right after the opening one stands for itself
            place += 1 + (pattern[place + 1 : place + 2] == "^")
            place += pattern[place : place + 1] == "]"
            continue
        if sign == "(":
            groups.append(False)
        elif sign == ")":
            repeats = groups.pop() if groups else False
            if repeats and groups:
                groups[-1] = True
            last_group = repeats
            place += 1
            continue
        elif unbounded:
            if last_group:
                return "it repeats a group that holds a repetition or an alternative"
            if groups:
                groups[-1] = True
        elif sign == "|" and groups:
            groups[-1] = True
        if sign != "?" or not last_group:
            last_group = False
        place += 1
    return None


def _endless(pattern: str, place: int) -> bool:
    end = pattern.find("}", place)
    low, comma, high = (part.strip() for part in pattern[place + 1 : end].partition(","))
    if end < place or not (low.isdigit() or (comma and high.isdigit())):
        return False
    most = high if comma else low
    return not most.isdigit() or int(most[:9]) > 64


def regexes(value: Mapping[str, Any]) -> list[str]:
    """Return every `{"Regex": pattern}` in a tokenizer's description, its vocabulary left out."""
    found: list[str] = []
    waiting: list[Any] = [item for key, item in value.items() if key != "model"]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("Regex"), str):
                found.append(item["Regex"])
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return found
