"""Balancers: how the losses of several tasks share one backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Weights = dict[str, float]
"""What the gradient of each task's mean loss on the shared parameters is multiplied by."""


Attempt = Callable[[Mapping[str, float], int, int, Sequence[int]], Iterator[float]]
"""`attempt(weights, fold, folds, rungs)` trains on all folds but one with these weights, and yields the mean score of
the tasks on that one after each number of steps in `rungs`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before a step: `sizes` are the rows of each task, `done` in [0, 1) the share of the run."""

    sizes: Mapping[str, int]
    step: int
    done: float
    epoch: int
    rng: np.random.Generator


def _no_gradients() -> Tensor:
    raise RuntimeError("gradients are asked of a step that has not kept them: the balancer lacks needs_gradients")


@dataclass(frozen=True, slots=True)
class Balance:
    """What a step has shown: the mean loss of each task, and the products of their gradients.

    `gram()` returns the matrix (K, K), float64, of inner products of the gradients of the K tasks in the order of
    `losses`, on shared parameters; only balancers with `needs_gradients` may ask for it. `given` are the weights
    that `weights` gave the step beforehand, where it did.
    """

    losses: Mapping[str, float]
    plan: Plan
    state: nn.Module | None
    given: Mapping[str, float] = field(default_factory=dict)
    gram: Callable[[], Tensor] = field(default=_no_gradients, repr=False)


class Balancer(Plugin):
    """Says which tasks a step serves, and what each of their losses weighs.

    A balancer whose weights follow from earlier steps gives them in `weights`, ahead of the forward pass, and looks
    at the losses in `learn`. One with `needs_gradients` gives them in `weights_after`: the step then keeps the
    gradient of each task apart, which takes their memory once a task.
    """

    kind: ClassVar[str] = "balancer"
    needs_gradients: ClassVar[bool] = False
    needs_second_look: ClassVar[bool] = False
    """Whether `look_again` wants the losses of the same batches after the update: one more forward pass a step."""
    when: ClassVar[str] = ""
    """One sentence: when to use it, and which neighbour to prefer otherwise."""

    def refuses(self, names: Sequence[str]) -> str | None:
        """Return why these tasks cannot be balanced, or None."""
        return "there is one task, and nothing to balance" if len(names) < 2 else None

    def search(self, names: Sequence[str], attempt: Attempt, seed: int) -> Balancer:
        """Return the balancer that the run is to use, found by trial runs where a balancer makes some."""
        return self

    def start(self, names: Sequence[str]) -> nn.Module | None:
        """Return this run's object: its state enters every checkpoint, its parameters the optimizer."""
        return None

    def plan(self, plan: Plan) -> Sequence[str]:
        """Return the tasks whose batches enter this step; all of them, unless a balancer draws."""
        return list(plan.sizes)

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return the weights of this step, known ahead of it; one each, unless a balancer says otherwise."""
        return dict.fromkeys(names, 1.0)

    def weights_after(self, balance: Balance) -> Weights:
        """Return the weights of this step from its losses and gradients (`needs_gradients`)."""
        return dict(balance.given)

    def learn(self, balance: Balance) -> None:
        """Take in the losses of a step; leave gradients in the parameters of the state, where it has some."""

    def look_again(self, balance: Balance, after: Mapping[str, float]) -> None:
        """Take in the losses of the same batches after the update (`needs_second_look`)."""


def draw(chances: Mapping[str, float], rng: np.random.Generator) -> str:
    """Return one name, drawn by chances that need not add up to one."""
    import numpy as np

    names, weights = list(chances), np.array(list(chances.values()), dtype=np.float64)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]
