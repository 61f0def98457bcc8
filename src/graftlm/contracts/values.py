"""The frozen values that flow from a row in a file to an answer and a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Grades = dict[str, "np.ndarray"]
"""One column for each fact about an answer, all of N rows, (N,) or (N, ...): what metrics are computed from."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row in the task's own terms.

    `fields` holds the roles (`text`, `text_pair`, ...), `target` the truth or None, `id` the row's
    name in answers, `where` its place in the source ("train.csv:17").
    """

    id: str
    fields: Mapping[str, Any]
    target: Any = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model reads for one example, or for one window, choice or masked copy of it.

    `row` is the index of the example in the list that was encoded, `features` the model's arguments
    as unpadded lists (`input_ids`, `token_type_ids`, ...), `truncated` the tokens that did not fit,
    `keep` what decoding needs (character offsets, word numbers, the tokenizer). Features whose names begin with
    `decoder_` are as long as `decoder_input_ids`, all others as `input_ids`.
    """

    row: int
    features: Mapping[str, Sequence[int]]
    truncated: int = 0
    keep: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.features["input_ids"])


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded tensors of shape (B, L), the targets as the task stacks them, and the rows they came from."""

    inputs: Mapping[str, Tensor]
    targets: Any
    rows: Sequence[int]

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model gives for a batch: `logits` of shape (B, ...), and what a loss asked for beside it."""

    logits: Tensor
    hidden_states: Sequence[Tensor] | None = None
    attentions: Sequence[Tensor] | None = None
    pooled: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one example: its value, the model's confidence in [0, 1], and details by name.

    `public` is what goes into an output line beside the id; `detail` what was asked for on top.
    """

    value: Any
    confidence: float | None = None
    public: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Space:
    """What the answers can be: label names in the order of the logits, the number of outputs, and extras.

    Values are JSON: a space is stored in the bundle and read back equal.
    """

    labels: tuple[str, ...] = ()
    size: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"labels": list(self.labels), "size": self.size, "extra": dict(self.extra)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Space:
        """Build a space from its JSON form."""
        return cls(tuple(value.get("labels", ())), int(value.get("size", 0)), dict(value.get("extra", {})))


@dataclass(frozen=True, slots=True)
class Score:
    """One figure with its 95 % interval and the number of rows behind it; `percent` says how it is shown."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    higher_is_better: bool = True
    percent: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "higher_is_better": self.higher_is_better,
            "percent": self.percent,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found: `level` is "error", "warning" or "note"; `rows` names some places."""

    level: str
    code: str
    message: str
    count: int = 0
    rows: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "count": self.count,
            "rows": list(self.rows),
        }
