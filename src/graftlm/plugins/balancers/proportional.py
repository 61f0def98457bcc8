"""One task a step, drawn in proportion to its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balancer, Plan, draw


class Proportional(Balancer):
    """p_k = n_k / sum of n: each row is seen as often as any other, small tasks seldom.

    `cap` bounds the rows that a task is counted with, so that one large task does not drown the rest.
    """

    source: ClassVar[str] = "Raffel et al. 2020, arXiv:1910.10683, section 3.5.2 (examples-proportional mixing)"
    when: ClassVar[str] = "Tasks of much the same size; `temperature` or `annealed` where some are small."
    cap: int | None = Field(None, ge=1)
    """Most rows that a task is counted with; None: no bound."""

    def plan(self, plan: Plan) -> Sequence[str]:
        """Draw one task."""
        return [draw({name: min(size, self.cap or size) for name, size in plan.sizes.items()}, plan.rng)]
