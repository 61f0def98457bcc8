"""Encoding: rows become packed token sequences with their targets, once for all epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Example, Inputs, Space
from graftlm.nn.packed import Packed


@dataclass(frozen=True, slots=True)
class Encoded:
    """The sequences of a split: packed features, a target for each, and what was cut off."""

    packed: Packed
    targets: list[Any]
    truncated: int
    """Sequences that were longer than the limit."""
    tokens: int


def encode(rows: Rows, task: Task, tokenizer: Any, space: Space, limit: int) -> Encoded:
    """Tokenise a split in chunks; rows whose target is not in the space are the caller's to remove."""
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
