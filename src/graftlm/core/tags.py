"""Tag schemes of sequence labelling: IOB1, BIO, BIOES, BMES, BILOU and bare types, found out and turned into another.

Entities are read as conlleval reads them (Tjong Kim Sang & De Meulder 2003): a prefix that begins, another type or
the end of the one before begins a new one, so that one reading serves every scheme.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Entity = tuple[int, int, str]
"""First word, the word after the last, type."""

_TAG = re.compile(r"([BIESMLU])(?:[-_](.+))?", re.DOTALL)
_BEGIN, _END = frozenset("BSU"), frozenset("ESLU")
LETTERS = {"BIO": "BIO", "IOB1": "BIO", "BIOES": "BIOES", "BMES": "BMES", "BILOU": "BILOU"}
_ODD_SHARE = 0.05  # slips of annotators (weibo_ner has 1.1 %); more than that are two schemes


def part(tag: str, bare: bool = False) -> tuple[str, str]:
    """Return prefix and type of a tag; O has the prefix O and no type; `bare` tags are types without a prefix.

    Raises:
        ValueError: it is no tag of a known scheme.
    """
    if tag == "O":
        return "O", ""
    if bare:
        return "I", tag
    found = _TAG.fullmatch(tag)
    if found is None:
        raise ValueError(
            f"the tag {tag!r} has no prefix of a known scheme (B-, I-, E-, S-, M-, L-, U-, or O); bare types such as "
            "PER are read with task.scheme: IO"
        )
    return found[1], found[2] or ""


def entities(tags: Sequence[str], bare: bool = False) -> list[Entity]:
    """Return the entities of a sentence.

    Raises:
        ValueError: a tag is of no known scheme.
    """
    found: list[Entity] = []
    first, kind = -1, ""
    for place, tag in enumerate(tags):
        prefix, own = part(tag, bare)
        if first >= 0 and (prefix == "O" or prefix in _BEGIN or own != kind):
            found.append((first, place, kind))
            first = -1
        if prefix != "O" and first < 0:
            first, kind = place, own
        if prefix in _END:
            found.append((first, place + 1, kind))
            first = -1
    if first >= 0:
        found.append((first, len(tags), kind))
    return found


def write(found: Iterable[Entity], count: int, scheme: str) -> list[str]:
    """Return the tags of a sentence of `count` words in a scheme."""
    tags = ["O"] * count
    before: Entity | None = None
    for entity in found:
        first, stop, kind = entity
        tail = f"-{kind}" if kind else ""
        letters = _letters(stop - first, scheme)
        if scheme == "IOB1" and before is not None and before[1] == first and before[2] == kind:
            letters[0] = "B"
        for place, letter in enumerate(letters, first):
            tags[place] = kind if scheme == "IO" else letter + tail
        before = entity
    return tags


def _letters(size: int, scheme: str) -> list[str]:
    if scheme == "IOB1":
        return ["I"] * size
    begin, inner, end, single = list({"BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}.get(scheme, "BIIB"))
    return [single] if size == 1 else [begin, *[inner] * (size - 2), end]


@dataclass(frozen=True, slots=True)
class Scheme:
    """The scheme of a set of sentences, and the numbers of those that do not keep to it.

    `mixed` says in words that there are two schemes, "" where the rest are slips.
    """

    name: str
    odd: tuple[int, ...] = ()
    mixed: str = ""


def recognise(sentences: Sequence[Sequence[str]]) -> Scheme:
    """Find out the scheme that most sentences with entities keep to; sentences are told by their numbers.

    Raises:
        ValueError: a tag is of no known scheme.
    """
    keeping: dict[str, list[int]] = {name: [] for name in LETTERS}
    full = []
    for number, tags in enumerate(sentences):
        parts = [part(tag) for tag in tags]
        own = {prefix for prefix, _ in parts} - {"O"}
        if not own:
            continue
        full.append(number)
        found, plain = entities(tags), [f"{prefix}-{kind}" if kind else prefix for prefix, kind in parts]
        for name, letters in LETTERS.items():
            if own <= set(letters) and write(found, len(tags), name) == plain:
                keeping[name].append(number)
    order = list(LETTERS)
    name = max(order, key=lambda one: (len(keeping[one]), -order.index(one)))
    kept = set(keeping[name])
    odd = tuple(number for number in full if number not in kept)
    mixed = ""
    if len(odd) > _ODD_SHARE * len(full):
        second = max((one for one in order if one != name), key=lambda one: len(set(keeping[one]) - kept))
        if set(keeping[second]) - kept:
            mixed = f"{len(kept)} sentences are in {name}, {len(set(keeping[second]) - kept)} only in {second}"
        else:
            mixed = f"{len(odd)} of {len(full)} sentences with entities keep to no scheme"
    return Scheme(name, odd, mixed)
