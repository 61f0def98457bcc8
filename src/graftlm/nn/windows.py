"""Long texts in overlapping windows: tokenised once, cut, special tokens put round each piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graftlm.core.errors import UserError

Coded = tuple[list[int], list[tuple[int, int]]]
"""Token ids of a text, no special ones among them, and the place of each in the text."""


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens round one text or two: before, between, after; `types` are the token types of all five parts.

    Without a second text, `middle` is empty.
    """

    first: tuple[int, ...]
    middle: tuple[int, ...]
    last: tuple[int, ...]
    types: tuple[int, int, int, int, int] | None

    @property
    def size(self) -> int:
        """Return the number of special tokens."""
        return len(self.first) + len(self.middle) + len(self.last)

    def around(self, ids: Sequence[int], second: Sequence[int] = ()) -> dict[str, list[int]]:
        """Return the features of a model's input that holds these tokens."""
        parts = (self.first, ids, self.middle, second, self.last)
        features = {"input_ids": [token for part in parts for token in part]}
        if self.types is not None and any(self.types):
            features["token_type_ids"] = [
                kind for part, kind in zip(parts, self.types, strict=True) for kind in [kind] * len(part)
            ]
        return features


def template(tokenizer: Any, *, pair: bool) -> Template:
    """Find out by an example what special tokens a tokenizer adds.

    Raises:
        UserError: it is no fast tokenizer, and so cannot tell the places of its tokens.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            "Answers with places in the text need a fast tokenizer (tokenizer.json), which knows the places of its "
            f"tokens; got {type(tokenizer).__name__}. Name another base model with --base."
        )
    coded = tokenizer(["a"], ["b"] if pair else None, return_attention_mask=False, verbose=False)
    one = coded.encodings[0]
    order, ids = one.sequence_ids, one.ids
    typed = "token_type_ids" in coded
    own = [place for place, number in enumerate(order) if number == 0]
    other = [place for place, number in enumerate(order) if number == 1] or [len(ids)]
    if own[0] > own[-1] or (pair and other[0] < own[-1]):
        raise UserError(f"{type(tokenizer).__name__} puts the second text before the first, which is not known here.")
    edges = (0, own[0], own[-1] + 1, other[0], other[-1] + 1, len(ids))
    if not pair:
        edges = (0, own[0], own[-1] + 1, own[-1] + 1, own[-1] + 1, len(ids))
    spans = list(zip(edges, edges[1:], strict=False))
    kinds = [one.type_ids[a] if b > a and typed else 0 for a, b in spans]
    first, _, middle, _, last = (tuple(ids[a:b]) for a, b in spans)
    return Template(first, middle, last, (kinds[0], kinds[1], kinds[2], kinds[3], kinds[4]) if typed else None)


def tokenise(tokenizer: Any, texts: Sequence[str]) -> list[Coded]:
    """Return ids and places of the tokens of texts, in one call, without special tokens and without a cut."""
    if not texts:
        return []
    coded = tokenizer(
        list(texts), add_special_tokens=False, truncation=False, return_offsets_mapping=True,
        return_attention_mask=False, return_token_type_ids=False, verbose=False,
    )  # fmt: skip
    return list(zip(coded["input_ids"], coded["offset_mapping"], strict=True))


def cut(size: int, room: int, shared: int) -> list[tuple[int, int]]:
    """Return the windows [start, stop) that cover `size` tokens, none longer than `room`, neighbours sharing some.

    Neighbours share `shared` tokens, at most half of the room; the last window is moved back to be full.
    """
    if room < 1:
        raise UserError(f"expected room for a token beside the special ones and the question; got {room}")
    if size <= room:
        return [(0, size)]
    step = max(1, room - min(shared, room // 2))
    starts = [*range(0, size - room, step), size - room]
    return [(start, start + room) for start in starts]


def holders(size: int, windows: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return for each token (size,) the window in which it has the most context on its poorer side.

    An end of the text is no lack of context.
    """
    place = np.arange(size)
    context = np.full((len(windows), size), -1)
    for number, (start, stop) in enumerate(windows):
        inside = place[start:stop]
        left = inside - start if start else np.full(stop - start, size)
        right = stop - 1 - inside if stop < size else np.full(stop - start, size)
        context[number, start:stop] = np.minimum(left, right)
    found: np.ndarray = context.argmax(axis=0)
    return found
