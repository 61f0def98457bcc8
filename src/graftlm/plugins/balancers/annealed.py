"""One task a step: in proportion to its rows at first, nearly alike at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balancer, Plan, draw


class Annealed(Balancer):
    """p_k proportional to n_k^a with a = 1 - fall * done, `done` growing from 0 to 1 over the run."""

    source: ClassVar[str] = "Stickland and Murray 2019, arXiv:1902.02671, section 4.1 (annealed sampling)"
    when: ClassVar[str] = "Tasks of very different size, the small ones in danger of being forgotten at the end."
    fall: float = Field(0.8, ge=0, le=1)
    """By how much the power falls from 1; the paper's 0.8 ends at n^0.2."""

    def plan(self, plan: Plan) -> Sequence[str]:
        """Draw one task."""
        power = 1 - self.fall * min(1.0, plan.done)
        return [draw({name: size**power for name, size in plan.sizes.items()}, plan.rng)]
