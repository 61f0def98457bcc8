"""One task a step, drawn in proportion to a power of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balancer, Plan, draw


class Temperature(Balancer):
    """p_k proportional to n_k^(1/T): T = 1 is `proportional`, a large T draws all tasks alike."""

    source: ClassVar[str] = "Arivazhagan et al. 2019, arXiv:1907.05019, section 4.2"
    when: ClassVar[str] = "Tasks of very different size; `annealed` where the small ones should end on equal terms."
    temperature: float = Field(2.0, ge=1, le=1000)
    """T; 2 to 5 are usual."""

    def plan(self, plan: Plan) -> Sequence[str]:
        """Draw one task."""
        return [draw({name: size ** (1 / self.temperature) for name, size in plan.sizes.items()}, plan.rng)]
