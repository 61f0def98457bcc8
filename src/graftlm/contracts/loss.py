"""Losses beside, or in place of, the task's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from graftlm.contracts.model import Model
from graftlm.contracts.values import Batch, Outputs, Space
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graftlm.contracts.ground import Ground
    from graftlm.contracts.method import Update


def _nothing(*_: Any) -> Outputs:
    raise RuntimeError("this look has no model to run")


@dataclass(frozen=True, slots=True)
class Look:
    """What a loss sees of one micro-batch.

    `again()` runs the model once more on the same batch (other dropout masks), `repeat()` with the same masks.
    `run(module, inputs)` runs any model of the same kind on padded tensors, in the run's number format. `state` is
    what `prepare` returned.
    """

    batch: Batch
    outputs: Outputs
    model: Model
    task: Any
    space: Space
    step: int
    again: Callable[[], Outputs] = field(repr=False)
    state: Any = None
    repeat: Callable[[], Outputs] = field(default=_nothing, repr=False)
    run: Callable[[Any, Mapping[str, Tensor]], Outputs] = field(default=_nothing, repr=False)


def choices(look: Look) -> tuple[Tensor, Tensor]:
    """Return the logits (N, C) and the classes (N,) that count of a task that chooses."""
    logits, targets = look.outputs.logits.flatten(0, -2), look.batch.targets.flatten()
    counted = targets != -100
    return logits[counted], targets[counted]


def base_moves(methods: Sequence[Any]) -> str | None:
    """Return why a loss on the base's own weights has nothing to hold beside these methods, or None."""
    for method in methods:
        if method.layout != "same":
            return f"the method '{method.name()}' freezes the base, so that its weights do not move"
    return None


def only_choices(task: Any) -> str | None:
    """Return why a loss that reshapes the cross-entropy cannot be used for a task, or None."""
    if task.chooses:
        return None
    return f"it reshapes the cross-entropy of one right class, and the task '{task.name()}' has none"


class Loss(Plugin):
    """One term of the training loss.

    `needs` names what the model must give: "hidden_states", "attentions", "second_pass".
    """

    kind: ClassVar[str] = "loss"
    replaces_task_loss: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()
    sharded: ClassVar[bool] = False
    """Whether it works while parameters lie in shards over several processes: it looks at outputs alone and has no run
    object."""
    other_text: ClassVar[bool] = False
    """Whether text beside the training rows reaches the model."""
    wants_start: ClassVar[bool] = False
    """Whether the model before any method changed it is kept for `Ground.start`."""
    when: ClassVar[str] = ""
    """One sentence: when to use it, and which neighbour to prefer otherwise."""
    strength: float = 1.0
    """Weight of this term in the sum."""

    def refuses(self, model: Model, task: Any) -> str | None:
        """Return why this loss cannot be used here, or None."""
        return None

    def clashes(self, methods: Sequence[Any]) -> str | None:
        """Return why this loss cannot be used beside these methods, or None."""
        return None

    def start(self, model: Model, task: Any, space: Space) -> nn.Module | None:
        """Return this run's object: its state enters every checkpoint, its parameters the optimizer."""
        return None

    def prepare(self, ground: Ground) -> nn.Module | None:
        """Return this run's object where it takes more than the model: rows, the model before any method, a run."""
        return self.start(ground.model, ground.task, ground.space)

    def after_update(self, model: Model, state: Any, update: Update) -> None:
        """Change weights after each update, where the term acts apart from the gradient; most do nothing."""

    @abstractmethod
    def __call__(self, look: Look) -> Tensor:
        """Return the **mean** over the batch's terms, a scalar with gradient, before `strength`."""
