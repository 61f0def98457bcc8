"""Balancers: how the losses of several tasks share one backbone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor


class Balancer(Plugin):
    """Plans which task a step serves, and weighs the losses."""

    kind: ClassVar[str] = "balancer"

    @abstractmethod
    def plan(self, sizes: Mapping[str, int], step: int) -> Sequence[str]:
        """Return the tasks whose batches enter this step."""

    @abstractmethod
    def combine(self, losses: Mapping[str, Tensor], gradient_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return one scalar from the losses; `gradient_of` gives a loss's gradient on shared parameters."""
