"""What the loop is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graftlm.contracts.backbone import Base
from graftlm.contracts.ground import Earlier, no_run
from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Adaptation
from graftlm.contracts.model import Model
from graftlm.contracts.task import Task
from graftlm.contracts.values import Score, Space
from graftlm.stages.training.encoding import Encoded
from graftlm.stages.training.planning import Plan

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Job:
    """What the loop trains: one model on one task's sequences, with what methods and losses asked for.

    `judge(model)` scores the validation rows (None where there are none); `best()` returns the tensors
    of the best checkpoint so far, which are loaded at the end, or None to keep the last ones; `stop()` asks
    for a Progress after this very step (among several processes it is a `Stop`, which they agree on). `start`, `base`
    and `earlier` are those of `Ground`; `left` is filled at the end with what methods leave for later runs.
    """

    model: Model
    task: Task
    space: Space
    data: Encoded
    plan: Plan
    adaptations: Sequence[Adaptation] = ()
    losses: Sequence[Loss] = ()
    augmented: bool = False
    other_text: bool = False
    judge: Callable[[Model], Score] | None = None
    best: Callable[[], Mapping[str, Tensor] | None] = field(default=lambda: None)
    stop: Any = field(default=lambda: False)
    start: nn.Module | None = field(default=None, repr=False)
    base: Base | None = field(default=None, repr=False)
    earlier: Callable[[str], Earlier] = field(default=no_run, repr=False)
    left: dict[str, Tensor] = field(default_factory=dict, repr=False)
