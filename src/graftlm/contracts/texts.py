"""Texts as a model reads them: tokenised in one call, cut at the limit, what was lost counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graftlm.contracts.values import Inputs


def encode_texts(
    texts: Sequence[Any], others: Sequence[Any] | None, tokenizer: Any, limit: int, rows: Sequence[int] | None = None
) -> list[Inputs]:
    """Tokenise texts, each with the second text beside it where there are any, and cut them at `limit` tokens.

    Of a pair the longer text is cut first. None stands for an empty text; `rows` gives the example of each
    text where they are not numbered one by one.
    """
    if not texts:
        return []
    first = [as_text(text) for text in texts]
    second = None if others is None else [as_text(text) for text in others]
    whole = _tokenise(tokenizer, first, second)
    long = [row for row, ids in enumerate(whole["input_ids"]) if len(ids) > limit]
    dropped = [0] * len(first)
    if long:
        pairs = None if second is None else [second[row] for row in long]
        cut = _tokenise(tokenizer, [first[row] for row in long], pairs, truncation=True, max_length=limit)
        for place, row in enumerate(long):
            dropped[row] = len(whole["input_ids"][row]) - len(cut["input_ids"][place])
            for name in whole:
                whole[name][row] = cut[name][place]
    names = list(whole)
    columns = zip(*whole.values(), strict=True)
    numbers = range(len(first)) if rows is None else rows
    return [
        Inputs(row, dict(zip(names, values, strict=True)), lost)
        for row, values, lost in zip(numbers, columns, dropped, strict=True)
    ]


def as_text(value: Any) -> str:
    """Return a value as text, None as an empty one."""
    return "" if value is None else str(value)


def _tokenise(tokenizer: Any, texts: list[str], pairs: list[str] | None, **options: Any) -> dict[str, list[list[int]]]:
    encoded = tokenizer(texts, pairs, return_attention_mask=False, verbose=False, **options)
    found = dict(encoded)
    types = found.get("token_type_ids")
    if types is not None and pairs is None and not any(types[0]):
        del found["token_type_ids"]  # all zero, as the model assumes anyway
    return found
