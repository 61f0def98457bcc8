"""Sentences with labelled places: words, spans and the figures of entities, for tasks and baselines that tag."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Finding, Grades
from graftlm.core import spans, tags, words
from graftlm.core.errors import listing
from graftlm.core.textual import written


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text, the places of its words, and whether those were given as tokens."""

    text: str
    spots: list[tuple[int, int]]
    given: bool


def sentence_of(value: Any) -> Sentence:
    """Return a text, or a list of tokens, with the places of its words."""
    if isinstance(value, str) and value.lstrip()[:2] in ('["', "['") and isinstance(listed := written(value), list):
        value = listed  # a list of tokens that became text on its way through a table
    if isinstance(value, list | tuple):
        return Sentence(*words.join([as_text(token) for token in value]), True)
    text = as_text(value)
    return Sentence(text, words.places(text), False)


def f1(right: float, truths: float, answers: float) -> float:
    """Return F1 of three counts; 0 where there is nothing to find and nothing was found."""
    return 2 * right / (truths + answers) if truths + answers else 0.0


def _totals(grades: Grades) -> tuple[float, float, float]:
    right, truths, answers = (float(grades[name].sum()) for name in ("right", "truths", "answers"))
    return right, truths, answers


def entity_f1(grades: Grades) -> float:
    """Return the harmonic mean of precision and recall of entities, borders and type both right."""
    return f1(*_totals(grades))


def precision(grades: Grades) -> float:
    """Return the share of found entities that are right; 0 where none was found."""
    right, _, answers = _totals(grades)
    return right / answers if answers else 0.0


def recall(grades: Grades) -> float:
    """Return the share of true entities that were found; 0 where there are none."""
    right, truths, _ = _totals(grades)
    return right / truths if truths else 0.0


def macro_f1(grades: Grades) -> float:
    """Return the mean F1 over the types that occur in truths or answers."""
    counts = [grades[name].sum(axis=0) for name in ("right", "truths", "answers")]
    found = [f1(*map(float, column)) for column in zip(*counts, strict=True) if column[1] + column[2]]
    return float(np.mean(found)) if found else 0.0


def token_accuracy(grades: Grades) -> float:
    """Return the share of words with the right tag."""
    return float(grades["right_words"].sum() / max(1, grades["words"].sum()))


def all_right(grades: Grades) -> np.ndarray:
    """Tell which rows (N,) have every entity right and none too many."""
    right, truths, answers = (grades[name].sum(axis=1) for name in ("right", "truths", "answers"))
    return np.asarray((right == truths) & (right == answers))


def sentence_accuracy(grades: Grades) -> float:
    """Return the share of rows whose entities are all right, none too many."""
    return float(np.mean(all_right(grades)))


def pieces(text: str, count: int) -> list[tuple[int, int]]:
    """Return the places of the pieces between white space, or of all characters where there are as many as tags."""
    found, at = [], 0
    for piece in text.split():
        start = text.index(piece, at)
        at = start + len(piece)
        found.append((start, at))
    return [(n, n + 1) for n in range(count)] if len(found) != count == len(text) else found


def words_of(sentence: Sentence, own: Sequence[spans.Span]) -> list[tags.Entity]:
    """Return the words that each span touches; a span whose first word belongs to the one before is left out."""
    starts, ends = [spot[0] for spot in sentence.spots], [spot[1] for spot in sentence.spots]
    found: list[tags.Entity] = []
    for start, end, kind in own:
        first, stop = bisect_right(ends, start), bisect_left(starts, end)
        if first < stop and (not found or first >= found[-1][1]):
            found.append((first, stop, kind))
    return found


def filled(path: np.ndarray, seen: np.ndarray, sentence: Sentence) -> np.ndarray:
    """Return label numbers for all words, those without a token of their own too.

    Such a word is inside an entity where the next word goes on with one, or where it has a letter and the word before
    it belongs to one: a token that reaches over both stood for them.
    """
    chosen = np.full(len(sentence.spots), -1, np.int64)
    chosen[seen] = path
    following = 0
    for word in range(len(chosen) - 1, -1, -1):
        if chosen[word] < 0 and following and following % 2 == 0:  # I- has an even number
            chosen[word] = following
        elif chosen[word] >= 0:
            following = int(chosen[word])
    for word, (start, end) in enumerate(sentence.spots):
        if chosen[word] < 0:
            before = int(chosen[word - 1]) if word else 0
            goes_on = before > 0 and any(sign.isalnum() for sign in sentence.text[start:end])
            chosen[word] = before + before % 2 if goes_on else 0
    return chosen


class WordDetail(Mapping[str, Any]):
    """The probability of each tag of each word, computed when it is asked for."""

    __slots__ = ("labels", "probabilities", "spots")

    def __init__(self, labels: tuple[str, ...], probabilities: np.ndarray, spots: list[tuple[int, int]]) -> None:
        self.labels, self.probabilities, self.spots = labels, probabilities, spots

    def __getitem__(self, key: str) -> list[dict[str, Any]]:
        if key != "words":
            raise KeyError(key)
        return [
            {"start": start, "end": end, "probabilities": dict(zip(self.labels, row.tolist(), strict=True))}
            for (start, end), row in zip(self.spots, self.probabilities, strict=True)
        ]

    def __iter__(self) -> Iterator[str]:
        return iter(("words",))

    def __len__(self) -> int:
        return 1


def strangers(name: str, counts: Counter[str], known: Counter[str]) -> Iterator[Finding]:
    """Yield findings on types that training rows or these lack, by counts of entities."""
    strange = {kind: count for kind, count in counts.items() if kind not in known}
    if strange:
        message = (
            f"{name}: {sum(strange.values())} entities have types that no training row has "
            f"({listing(sorted(strange))}); they count as missed."
        )
        yield Finding("warning", "unseen_types", message, sum(strange.values()))
    absent = [kind for kind in known if kind not in counts]
    if absent:
        message = f"{name}: no entity has the type {listing(sorted(absent))}, which training rows have."
        yield Finding("note", "absent_types", message, len(absent))


def tags_of(target: Any, names: Sequence[str]) -> list[str] | None:
    """Return a target's tags, None where it holds spans."""
    if isinstance(target, str):
        start = target.strip()
        target = written(start) if start.startswith(("[", "{")) else start.split()
        if target is None:
            raise ValueError(f"{start[:40]!r} is neither tags, nor a list in JSON or as Python writes it")
    if not isinstance(target, list | tuple):
        return None
    if target and all(isinstance(one, int) for one in target):
        if not names or max(target) >= len(names) or min(target) < 0:
            raise ValueError(
                f"the tags are numbers (up to {max(target)}), and the task's field 'names' has {len(names)} "
                "names for them; give it the name of each tag in order, such as [O, B-PER, I-PER]"
            )
        return [names[number] for number in target]
    return list(target) if all(isinstance(one, str) for one in target) else None


def spans_of(target: Any, sentence: Sentence, scheme: str, names: Sequence[str]) -> list[spans.Span]:
    """Return the entities of a row as character spans, rising.

    Raises:
        ValueError: tags or spans are faulty.
    """
    if target is None:
        return []
    own = tags_of(target, names)
    if own is None:
        if sentence.given:
            raise ValueError("the row has character spans and a list of tokens; spans need the text they count in")
        return spans.read(written(target) if isinstance(target, str) else target, sentence.text)
    spots = sentence.spots
    if not sentence.given:
        if not own:
            return []
        spots = pieces(sentence.text, len(own))
    if len(spots) != len(own):
        there = "there is 1 tag" if len(own) == 1 else f"there are {len(own)} tags"
        raise ValueError(f"{there} for {len(spots)} token{'s' if len(spots) != 1 else ''}; expected one for each")
    if scheme not in ("auto", "IO"):
        letters = tags.LETTERS[scheme]
        odd = [tag for tag in own if tags.part(tag)[0] not in (*letters, "O")]
        if odd:
            raise ValueError(f"the tag {odd[0]!r} does not belong to the scheme {scheme}")
    found = tags.entities(own, bare=scheme == "IO")
    return [(spots[first][0], spots[stop - 1][1], kind) for first, stop, kind in found]
