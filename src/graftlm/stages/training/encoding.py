"""Encoding: rows become packed token sequences with their targets, once for all epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graftlm.contracts.packed_inputs import PackedInputs
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


_CHUNK = 1024  # rows tokenised in one call: what a tokenizer says of each token beside its number takes much memory
CACHED_FROM = 20_000
"""Rows from which on tokens are kept in the cache: fewer are tokenised as fast as they are read."""


def encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    """Tokenise a split in chunks, or take it from the cache.

    Rows whose target is not in the space are the caller's to remove. Tokens are kept by the fingerprints of rows and
    tokenizer, the task and the limit; targets that are whole numbers beside them, by the answers too.
    """
    place = stored(rows, task, tokenizer, limit, training=True)
    if place is None:
        return _encode(rows, task, tokenizer, space, limit)
    packed, kept = tokens.read(place)
    inputs = PackedInputs(packed, kept["rows"], kept["lost"])
    targets = _targets(rows, task, inputs, space, place.name)
    return Encoded(packed, targets, int(np.count_nonzero(kept["lost"])), int(packed.offsets[-1]))


def stored(rows: Rows, task: Task, tokenizer: Any, limit: int, *, training: bool = False) -> Path | None:
    """Return the cache's folder with the tokens of a split, made where it is not there; None where they are not kept.

    They are not kept of few rows, of a tokenizer whose inside is not known, and of tasks that need more than numbers.
    """
    mark = tokens.tokenizer_mark(tokenizer) if len(rows) >= CACHED_FROM and not task.together else None
    if mark is None:
        return None
    training = training and type(task).encode_training is not Task.encode_training
    key = hashing.of_value([tokens.FORMAT, rows.fingerprint, mark, task.as_use(), limit, training])
    place = cache.find("tokens", key)
    if place is not None:
        log.note(f"cache: tokens of {len(rows):,} rows of {rows.name} are taken from an earlier run")
        return place
    parts = _Chunks(rows, task, tokenizer, limit, training)
    about = f"{len(rows):,} rows of {rows.name}"
    with contextlib.suppress(_MoreThanNumbers):
        place = cache.put("tokens", key, lambda folder: tokens.write(folder, parts, parts.columns), about)
    if place is not None:
        log.note(f"cache: tokens of {len(rows):,} rows of {rows.name} are kept for the next run (see graft cache)")
    return place


def stored_lengths(place: Path, rows: int) -> np.ndarray:
    """Return the tokens of each row (N,), those cut off among them, from a folder; of several inputs the most."""
    lengths = np.diff(np.load(place / "offsets.npy", allow_pickle=False))
    found = np.zeros(rows, dtype=np.int64)
    numbers = np.load(place / "column-rows.npy", allow_pickle=False)
    np.maximum.at(found, numbers, lengths + np.load(place / "column-lost.npy", allow_pickle=False))
    return found


class _MoreThanNumbers(Exception):
    """Inputs carry what is no number of a token, or a decoder's tokens: they are not kept."""


class _Chunks:
    """The chunks of a split, packed one by one, with the row of each sequence and the tokens it lost."""

    def __init__(self, rows: Rows, task: Task, tokenizer: Any, limit: int, training: bool) -> None:
        self.rows, self.tokenizer, self.limit = rows, tokenizer, limit
        self.encode = task.encode_training if training else task.encode
        self.numbers: list[np.ndarray] = []
        self.lost: list[np.ndarray] = []

    def __iter__(self) -> Iterator[Packed]:
        begin = 0
        for chunk in self.rows.chunks(_CHUNK):
            inputs = self.encode(chunk, self.tokenizer, self.limit)
            packed = Packed.of([one.features for one in inputs])
            if packed.decoder_offsets is not None or any(one.keep for one in inputs):
                raise _MoreThanNumbers
            self.numbers.append(np.asarray([begin + one.row for one in inputs], dtype=np.int32))
            self.lost.append(np.asarray([one.truncated for one in inputs], dtype=np.int32))
            begin += len(chunk)
            log.advance(f"tokenising {self.rows.name}", begin, len(self.rows))
            yield packed

    def columns(self) -> dict[str, np.ndarray]:
        """Return the row of each sequence and the tokens it lost."""
        none = np.zeros(0, dtype=np.int32)
        return {"rows": np.concatenate([none, *self.numbers]), "lost": np.concatenate([none, *self.lost])}


def _targets(rows: Rows, task: Task, inputs: PackedInputs, space: Space, tokens_key: str) -> list[Any]:
    """Return the target of each sequence, from the cache where they are whole numbers."""
    key = hashing.of_value([tokens_key, space.as_json()])
    if (place := cache.find("targets", key)) is not None:
        found: list[Any] = np.load(place / "targets.npy", allow_pickle=False).tolist()
        return found
    found = []
    begin = 0
    for chunk in rows.chunks():
        low, high = np.searchsorted(inputs.rows, [begin, begin + len(chunk)])
        part = [replace(inputs[number], row=int(inputs.rows[number]) - begin) for number in range(low, high)]
        found += task.targets(chunk, part, space)
        begin += len(chunk)
        log.advance(f"targets of {rows.name}", begin, len(rows))
    if all(type(target) is int for target in found):
        held = np.asarray(found, dtype=np.int64)
        about = f"targets of {len(rows):,} rows of {rows.name}"
        cache.put("targets", key, lambda folder: np.save(folder / "targets.npy", held, allow_pickle=False), about)
    return found


def _encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    targets: list[Any] = []
    numbers: list[int] = []
    cut = 0

    def parts() -> Iterator[Packed]:
        nonlocal cut
        begin = 0
        for chunk in rows.chunks():
            inputs = task.encode_training(chunk, tokenizer, limit)
            if task.together:
                inputs = sorted(inputs, key=lambda one: one.row)
                numbers.extend(begin + one.row for one in inputs)
            begin += len(chunk)
            targets.extend(task.targets(chunk, inputs, space))
            cut += sum(one.truncated > 0 for one in inputs)
            log.advance(f"tokenising {rows.name}", begin, len(rows))
            yield Packed.of([one.features for one in inputs])

    packed = Packed.joined(parts())
    together = np.asarray(numbers, dtype=np.int64) if task.together else None
    return Encoded(packed, targets, cut, int(packed.offsets[-1]), together)


@dataclass(frozen=True, slots=True)
class Held:
    """Validation rows ready to be answered many times: tokenised once, many of them packed and made when asked for."""

    examples: Sequence[Example]
    inputs: Sequence[Inputs]


def hold(rows: Rows, task: Task, tokenizer: Any, limit: int) -> Held:
    """Tokenise rows for repeated answering."""
    place = stored(rows, task, tokenizer, limit)
    if place is not None:
        packed, kept = tokens.read(place)
        return Held(rows.lazily(), PackedInputs(packed, kept["rows"], kept["lost"]))
    examples = rows.examples()
    return Held(examples, task.encode(examples, tokenizer, limit))
