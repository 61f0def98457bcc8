"""The right answers to a question: as people write them, and where they stand in its context."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Example
from graftlm.core.textual import written


@dataclass(frozen=True, slots=True)
class Truth:
    """The right answers as texts, and the place of the first that stands in the context.

    `mended` and `lost` count the answers whose place was wrong and could, or could not, be put right, `unsure` those
    without a place that stand several times in the context.
    """

    texts: tuple[str, ...]
    place: tuple[int, int] | None
    mended: int = 0
    lost: int = 0
    unsure: int = 0


def truth_of(example: Example) -> Truth:
    """Return the right answers of a row.

    Raises:
        ValueError: they are neither texts nor texts with starts.
    """
    context = as_text(example.fields.get("context"))
    texts: list[str] = []
    place: tuple[int, int] | None = None
    mended = lost = unsure = 0
    for text, start in _placed(_answers(example.target), example.fields.get("start")):
        if not text.strip():
            continue
        texts.append(text)
        own = None
        if start is not None and start >= 0 and context[start : start + len(text)] == text:
            own = start, start + len(text)
        elif context.count(text) == 1 or (start is None and text in context):
            own = context.index(text), context.index(text) + len(text)
            mended += start is not None
            unsure += context.count(text) > 1
        else:
            lost += 1
        place = place or own
    return Truth(tuple(texts), place, mended, lost, unsure)


def _placed(answers: Iterator[tuple[str, int | None]], start: Any) -> Iterator[tuple[str, int | None]]:
    """Yield answers with the start that stands in a column of its own, where they have none."""
    starts = written(start) if isinstance(start, str) and written(start) is not None else start
    own = [_whole(one) for one in (starts if isinstance(starts, list) else [starts])]
    for number, (text, given) in enumerate(answers):
        yield text, own[number] if given is None and number < len(own) else given


def _whole(start: Any) -> int | None:
    """Return a start as a whole number.

    Raises:
        ValueError: it is none.
    """
    if start is None or not str(start).strip():
        return None
    try:
        return int(float(start))
    except ValueError:
        raise ValueError(f"expected the start of an answer as a whole number; got {start!r}") from None


def _answers(target: Any) -> Iterator[tuple[str, int | None]]:
    if target is None:
        return
    if isinstance(target, str):
        if not isinstance(found := written(target), list | dict):
            yield target, None
            return
        target = found
    if isinstance(target, Mapping):
        texts, starts = target.get("text"), target.get("answer_start")
        if isinstance(texts, list):
            starts = starts if isinstance(starts, list) else [None] * len(texts)
            if len(starts) != len(texts):
                raise ValueError(f"there are {len(texts)} answers and {len(starts)} starts of answers")
            yield from ((as_text(text), _number(start)) for text, start in zip(texts, starts, strict=True))
            return
        target = [target]
    for one in target:
        if isinstance(one, str):
            yield one, None
        elif isinstance(one, Mapping) and isinstance(one.get("text"), str):
            yield one["text"], _number(next((one[k] for k in ("answer_start", "start") if k in one), None))
        else:
            raise ValueError(f"expected answers with text and answer_start, found {json.dumps(one, default=str)[:60]}")


def _number(start: Any) -> int | None:
    return int(start) if isinstance(start, int | float) and start == start else None
