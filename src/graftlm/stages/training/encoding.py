"""Encoding: rows become packed token sequences with their targets, once for all epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    together: np.ndarray | None = None
    """Number of the example that each sequence belongs to (N,), where examples are not divided; None: each is one."""

    @property
    def units(self) -> int:
        """Return how many sequences, or undivided examples, an epoch has."""
        return len(self.packed) if self.together is None else len(np.unique(self.together))

    def sets(self, rows: np.ndarray) -> list[np.ndarray]:
        """Cut the sequences of a batch into those that stay together: single ones, or those of one example."""
        rows = np.asarray(rows)
        if self.together is None:
            return list(rows[:, None])
        return np.split(rows, np.flatnonzero(np.diff(self.together[rows])) + 1)


CACHED_FROM = 20_000
"""Rows from which on tokens are kept in the cache: fewer are tokenised as fast as they are read."""


def encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    """Tokenise a split in chunks, or take it from the cache.

    Rows whose target is not in the space are the caller's to remove. Kept is what has one whole number as its
    target, by the fingerprints of rows and tokenizer, the task, its answers and the limit.
    """
    mark = tokens.tokenizer_mark(tokenizer) if len(rows) >= CACHED_FROM and not task.together else None
    if mark is None:
        return _encode(rows, task, tokenizer, space, limit)
    key = hashing.of_value([tokens.FORMAT, rows.fingerprint, mark, task.as_use(), space.as_json(), limit])
    place = cache.find("tokens", key)
    if place is None:
        parts = _Parts(rows, task, tokenizer, space, limit, stored=True)
        about = f"{len(rows):,} rows of {rows.name}"
        with contextlib.suppress(_NoNumbers):
            place = cache.put("tokens", key, lambda folder: tokens.write(folder, parts, parts.columns), about)
        if place is None:
            return _encode(rows, task, tokenizer, space, limit)
        log.note(f"cache: tokens of {len(rows):,} rows are kept for the next run (see graft cache)")
    else:
        log.note(f"cache: tokens of {len(rows):,} rows are taken from an earlier run")
    packed, kept = tokens.read(place)
    return Encoded(packed, kept["targets"].tolist(), int(kept["truncated"][0]), int(packed.offsets[-1]))


class _NoNumbers(Exception):
    """The targets are no whole numbers, or a decoder's tokens stand beside the others: they are not kept."""


class _Parts:
    """The chunks of a split, packed one by one, with the targets and the count of cut sequences seen so far."""

    def __init__(self, rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int, stored: bool = False) -> None:
        self.rows, self.task, self.tokenizer, self.space, self.limit = rows, task, tokenizer, space, limit
        self.targets: list[Any] = []
        self.truncated = 0
        self.numbers: list[int] = []
        self.stored = stored

    def __iter__(self) -> Iterator[Packed]:
        self.targets, self.truncated, self.numbers = [], 0, []
        begin = 0
        for chunk in self.rows.chunks():
            inputs = self.task.encode_training(chunk, self.tokenizer, self.limit)
            if self.task.together:
                inputs = sorted(inputs, key=lambda one: one.row)
                self.numbers += [begin + one.row for one in inputs]
            begin += len(chunk)
            self.targets += self.task.targets(chunk, inputs, self.space)
            self.truncated += sum(one.truncated > 0 for one in inputs)
            packed = Packed.of([one.features for one in inputs])
            if self.stored and packed.decoder_offsets is not None:
                raise _NoNumbers
            yield packed

    def columns(self) -> dict[str, np.ndarray]:
        """Return the targets and the count as arrays.

        Raises:
            _NoNumbers: a target is no whole number.
        """
        if not all(isinstance(target, int) for target in self.targets):
            raise _NoNumbers
        return {
            "targets": np.asarray(self.targets, dtype=np.int64),
            "truncated": np.asarray([self.truncated], dtype=np.int64),
        }


def _encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    parts = _Parts(rows, task, tokenizer, space, limit)
    packed = Packed.joined(parts)
    together = np.asarray(parts.numbers, dtype=np.int64) if task.together else None
    return Encoded(packed, parts.targets, parts.truncated, int(packed.offsets[-1]), together)


@dataclass(frozen=True, slots=True)
class Held:
    """Validation rows ready to be answered many times: tokenised once."""

    examples: list[Example]
    inputs: list[Inputs]


def hold(rows: Rows, task: Task, tokenizer: Any, limit: int) -> Held:
    """Tokenise rows for repeated answering."""
    examples = rows.examples()
    return Held(examples, task.encode(examples, tokenizer, limit))
