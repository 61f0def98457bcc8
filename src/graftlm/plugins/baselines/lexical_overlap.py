"""The run of words in the context that stands nearest to the words of the question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import ClassVar

from pydantic import Field

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows
from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Answer, Example
from graftlm.core import words
from graftlm.core.errors import UserError


class LexicalOverlap(Baseline):
    """Slides a window over the context: rare words that the question has count most, those of the answer not at all.

    An answer has as many words as half of the training answers at most; it never is that there is none.
    """

    source: ClassVar[str] = "Richardson et al. 2013 (MCTest), section 4 (sliding window, inverse counts)"
    about: ClassVar[str] = "the words nearest to those of the question"
    reach: int = Field(8, ge=1, le=100)
    """Words on each side of an answer that are compared with the question."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the words of the contexts, and those of the answers.

        Raises:
            UserError: the task does not answer with places of a context.
        """
        task = setting.task
        if not hasattr(task, "span"):
            raise UserError(
                f"The baseline 'lexical_overlap' answers with a place in a context, and the task '{task.name()}' does "
                "not. Take it out of evaluate.baselines."
            )
        counts: Counter[str] = Counter()
        sizes: list[int] = []
        for chunk in rows.chunks():
            for context in {as_text(one.fields["context"]) for one in chunk}:
                counts.update(map(_lower, _of(context)))
            for one in chunk:
                if (place := task.place(one)) is not None:
                    sizes.append(len(words.places(as_text(one.fields["context"])[place[0] : place[1]])))
        size = max(1, int(median(sizes))) if sizes else 1

        def answer(one: Example) -> Answer:
            text = as_text(one.fields["context"])
            spots = words.places(text)
            asked = {_lower(word) for word in _of(as_text(one.fields["question"]))}
            worth = [
                math.log1p(1 / (1 + counts[word])) if (word := _lower(text[a:b])) in asked and word.isalnum() else 0.0
                for a, b in spots
            ]
            last = max(1, len(spots) - size + 1)
            whole = [
                n for n in range(last) if _word(text, spots[n]) and _word(text, spots[min(n + size, len(spots)) - 1])
            ]
            first = max(whole or range(last), key=lambda n: (self._score(worth, n, size), -n))
            found: Answer = task.span(one, (spots[first][0], spots[min(first + size, len(spots)) - 1][1]))
            return found

        def fitted(asked: Rows) -> Sequence[Answer]:
            return [answer(one) for chunk in asked.chunks() for one in chunk]

        return fitted

    def _score(self, worth: Sequence[float], first: int, size: int) -> float:
        """Return the worth of the words round a run by nearness, less its own: a question seldom answers itself."""
        stop = first + size
        near = sum(value / (distance + 1) for distance, value in enumerate(worth[stop : stop + self.reach]))
        before = worth[max(0, first - self.reach) : first]
        return (
            near
            + sum(value / (distance + 1) for distance, value in enumerate(reversed(before)))
            - sum(worth[first:stop])
        )


def _word(text: str, spot: tuple[int, int]) -> bool:
    return text[spot[0]].isalnum()


def _of(text: str) -> list[str]:
    return [text[a:b] for a, b in words.places(text)]


def _lower(word: str) -> str:
    return word.casefold()
