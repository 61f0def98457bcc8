"""Rows with labelled places, written so that words can be changed around the places: each stands as one sign."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graftlm.contracts.tagged import Sentence, sentence_of, spans_of, tags_of, words_of
from graftlm.contracts.values import Example
from graftlm.core import spans, tags, words

FIRST = 0xF0000
"""The first of the signs that stand for places: private use, no letter, no white space, in no real text."""
SIGNS = "\U000f0000-\U000ffffd"
"""All of them, as the inside of a regular expression's class."""
_SIGN = re.compile(f"([{SIGNS}])")
_HAN = re.compile(f"[{words.SPACELESS}]")


@dataclass(frozen=True, slots=True)
class Marked:
    """A row whose labelled places stand as signs in `text`; `shown` is what `str.translate` writes in their stead.

    `example` is the row in the form that its changed copies have too. `back(text)` makes a row of a changed text: a
    place that moved takes its labels along, one that is gone leaves none, one that stands twice has them twice. None:
    the labels would no longer be right.
    """

    example: Example
    text: str
    shown: Mapping[int, str] = field(default_factory=dict)
    back: Callable[[str], Example | None] = field(default=lambda text: None, repr=False)


def mark(example: Example, scheme: str, names: Sequence[str], role: str = "text") -> Marked:
    """Return a row of tagging with its entities as signs; a text that has such signs itself is left alone.

    Its truth is written as JSON: the tags of given tokens, else spans. Words that an entity touches are part of its
    sign.

    Raises:
        ValueError: tags or spans are faulty.
    """
    sentence = sentence_of(example.fields.get(role))
    own = spans_of(example.target, sentence, scheme, names)
    if sentence.given:
        found = _of_tokens(example, tags_of(example.target, names) or [], bare=scheme == "IO", role=role)
    else:
        found = _of_text(example, sentence, own, role)
    return Marked(found.example, "") if _SIGN.search(sentence.text) else found


def _of_text(example: Example, sentence: Sentence, own: Sequence[spans.Span], role: str) -> Marked:
    regions: list[tuple[int, int, list[spans.Span]]] = []
    for span in own:
        touched = words_of(sentence, [span])
        start = min([span[0], *(sentence.spots[a][0] for a, _, _ in touched)])
        end = max([span[1], *(sentence.spots[b - 1][1] for _, b, _ in touched)])
        if regions and start < regions[-1][1]:  # two entities share a word
            start, old, inside = regions.pop()
            regions.append((start, max(old, end), [*inside, span]))
        else:
            regions.append((start, end, [span]))
    parts, at, shown, inner = [], 0, {}, {}
    for number, (start, end, inside) in enumerate(regions):
        sign = chr(FIRST + number)
        parts += [sentence.text[at:start], sign]
        at = end
        shown[FIRST + number] = sentence.text[start:end]
        inner[sign] = [(a - start, b - start, kind) for a, b, kind in inside]
    text = "".join([*parts, sentence.text[at:]])

    def written(new: str) -> Example | None:
        out, size, found, borders = [], 0, [], []
        for piece in _SIGN.split(new):
            surface = shown[ord(piece)] if piece in inner else piece
            if piece in inner:
                found += [(size + a, size + b, kind) for a, b, kind in inner[piece]]
                borders.append((size, size + len(surface)))
            out.append(surface)
            size += len(surface)
        whole = "".join(out)
        places = words.places(whole)
        starts, ends = {start for start, _ in places}, {end for _, end in places}
        if any(start not in starts or end not in ends for start, end in borders):
            return None  # a place stands beside a letter now, and is no word of its own
        target = json.dumps([{"start": a, "end": b, "label": kind} for a, b, kind in found], ensure_ascii=False)
        return replace(example, fields={**example.fields, role: whole}, target=target)

    plain = [{"start": start, "end": end, "label": kind} for start, end, kind in own]
    target = None if example.target is None else json.dumps(plain, ensure_ascii=False)
    return Marked(replace(example, target=target), text, shown, written)


def _of_tokens(example: Example, own: list[str], *, bare: bool, role: str) -> Marked:
    tokens = [str(token) for token in example.fields[role]]
    groups = tags.entities(own, bare)
    single = all(len(token) == 1 for token in tokens if _HAN.search(token))
    pieces: list[str] = []
    held: dict[str, tuple[list[str], list[str], str]] = {}
    at = 0
    for number, (first, stop, kind) in enumerate(groups):
        sign = chr(FIRST + number)
        pieces += [*tokens[at:first], sign]
        held[sign] = (tokens[first:stop], own[first:stop], kind)
        at = stop
    pieces += tokens[at:]
    text = pieces[0] if pieces else ""
    for before, piece in zip(pieces, pieces[1:], strict=False):
        # characters that are tokens are written as Chinese is, so that words of a dictionary are found in them
        close = single and _HAN.search(before) and _HAN.search(piece)
        text += piece if close else f" {piece}"

    def written(new: str) -> Example | None:
        made: list[str] = []
        given: list[str] = []
        wanted: list[tags.Entity] = []
        for piece in _SIGN.split(new):
            if piece in held:
                inside, labels, kind = held[piece]
                wanted.append((len(made), len(made) + len(inside), kind))
                made += inside
                given += labels
                continue
            for part in piece.split():
                cut = [one for one in re.split(f"([{words.SPACELESS}])", part) if one] if single else [part]
                made += cut
                given += ["O"] * len(cut)
        if tags.entities(given, bare) != wanted:
            return None  # two entities became one: the scheme does not cut them apart here
        return replace(example, fields={**example.fields, role: made}, target=json.dumps(given, ensure_ascii=False))

    target = None if example.target is None else json.dumps(own, ensure_ascii=False)
    shown = {ord(sign): words.join(inside)[0] for sign, (inside, _, _) in held.items()}
    return Marked(replace(example, target=target), text, shown, written)
