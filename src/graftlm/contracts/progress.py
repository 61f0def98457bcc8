"""What the training generator yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graftlm.contracts.values import Score


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step.

    `loss` is the mean since the last Progress; `examples_per_second` and `tokens_per_second` count
    training steps only; `padding_share` is the share of padded positions; `seconds_left` an estimate.
    `score` is set after an evaluation, and `best` when it is the best so far. `snapshot()` returns what
    an exact resume needs, as `{"tensors": {name: Tensor}, "facts": JSON}`.
    """

    step: int
    steps: int
    epoch: float
    loss: float
    rate: float
    examples_per_second: float
    tokens_per_second: float
    padding_share: float
    seconds_left: float
    score: Score | None = None
    best: bool = False
    last: bool = False
    note: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    snapshot: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
