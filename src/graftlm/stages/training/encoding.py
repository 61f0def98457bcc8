"""Encoding: rows become packed token sequences with their targets, once for all epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Example, Inputs, Space
from graftlm.core import cache, hashing, log
from graftlm.nn import tokens
from graftlm.nn.packed import Packed


@dataclass(frozen=True, slots=True)
class Encoded:
    """The sequences of a split: packed features, a target for each, and what was cut off."""

    packed: Packed
    targets: list[Any]
    truncated: int
    """Sequences that were longer than the limit."""
    tokens: int


CACHED_FROM = 20_000
"""Rows from which on tokens are kept in the cache: fewer are tokenised as fast as they are read."""


def encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    """Tokenise a split in chunks, or take it from the cache.

    Rows whose target is not in the space are the caller's to remove. Kept is what has one whole number as its
    target, by the fingerprints of rows and tokenizer, the task, its answers and the limit.
    """
    mark = tokens.tokenizer_mark(tokenizer) if len(rows) >= CACHED_FROM else None
    if mark is None:
        return _encode(rows, task, tokenizer, space, limit)
    key = hashing.of_value([tokens.FORMAT, rows.fingerprint, mark, task.as_use(), space.as_json(), limit])
    place = cache.find("tokens", key)
    if place is None:
        made = _encode(rows, task, tokenizer, space, limit)
        if not all(isinstance(target, int) for target in made.targets):
            return made
        columns = {
            "targets": np.asarray(made.targets, dtype=np.int64),
            "truncated": np.asarray([made.truncated], dtype=np.int64),
        }
        about = f"{len(rows):,} rows of {rows.name}, {made.tokens:,} tokens"
        place = cache.put("tokens", key, lambda folder: tokens.write(folder, made.packed, **columns), about)
        if place is None:
            return made
        log.note(f"cache: tokens of {len(rows):,} rows are kept for the next run (see graft cache)")
    else:
        log.note(f"cache: tokens of {len(rows):,} rows are taken from an earlier run")
    packed, kept = tokens.read(place)
    return Encoded(packed, kept["targets"].tolist(), int(kept["truncated"][0]), int(packed.offsets[-1]))


def _encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    parts: list[Packed] = []
    targets: list[Any] = []
    truncated = 0
    for chunk in rows.chunks():
        inputs = task.encode(chunk, tokenizer, limit)
        targets += task.targets(chunk, inputs, space)
        truncated += sum(one.truncated > 0 for one in inputs)
        parts.append(Packed.of([one.features for one in inputs]))
    packed = Packed.joined(parts)
    return Encoded(packed, targets, truncated, int(packed.offsets[-1]))


@dataclass(frozen=True, slots=True)
class Held:
    """Validation rows ready to be answered many times: tokenised once."""

    examples: list[Example]
    inputs: list[Inputs]


def hold(rows: Rows, task: Task, tokenizer: Any, limit: int) -> Held:
    """Tokenise rows for repeated answering."""
    examples = rows.examples()
    return Held(examples, task.encode(examples, tokenizer, limit))
