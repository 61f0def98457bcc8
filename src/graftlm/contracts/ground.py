"""What training stands on when it begins: what a method or a loss may look at before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graftlm.contracts.backbone import Base
from graftlm.contracts.model import Model
from graftlm.contracts.values import Batch, Example, Score, Space
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier run: its model in eval mode, its task, the longest input in tokens, how many training rows it had.

    `examples(count, seed)` gives so many of its training rows, always the same for a seed; `left()` the tensors that
    its methods left for later runs, by `method/name`.
    """

    model: Model
    task: Any
    space: Space
    limit: int
    rows: int = 0
    examples: Callable[[int, int], list[Example]] = field(default=lambda count, seed: [], repr=False)
    left: Callable[[], Mapping[str, Tensor]] = field(default=dict, repr=False)


def no_run(run: str) -> Earlier:
    """Refuse to open an earlier run where there is none to open."""
    raise UserError(f"Earlier runs cannot be opened here: '{run}'. Train with `graft fit`.")


@dataclass(frozen=True, slots=True)
class Ground:
    """The beginning of a run: methods are applied, the model is as it trains, nothing has moved.

    `start` is the model as it was assembled, before any method changed it, frozen and in eval mode: None where no
    plug-in `wants_start`. `batches(count, size)` gives `count` training rows in batches of `size`, always the same
    ones. `rate` is the peak learning rate. `targets` are the truths of all training sequences as the task encodes
    them. `earlier(run)` opens an earlier run, `base` the base model once more, `judge(model)` scores the validation
    rows (None where there are none).
    """

    model: Model
    task: Any
    space: Space
    seed: int = 0
    steps: int = 0
    rate: float = 0.0
    start: nn.Module | None = field(default=None, repr=False)
    base: Base | None = field(default=None, repr=False)
    targets: Sequence[Any] = field(default=(), repr=False)
    batches: Callable[[int, int], Iterator[Batch]] = field(default=lambda count, size: iter(()), repr=False)
    earlier: Callable[[str], Earlier] = field(default=no_run, repr=False)
    judge: Callable[[Model], Score] | None = field(default=None, repr=False)
