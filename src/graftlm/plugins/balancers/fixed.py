"""Every task in every step, with weights that are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balancer, Plan, Weights

if TYPE_CHECKING:
    from torch import nn


class Fixed(Balancer):
    """L = sum of w_k L_k, with w_k from the recipe; tasks that are not named weigh 1.

    Equal weights are a strong baseline: balancers that are cleverer seldom beat weights that were searched.
    """

    source: ClassVar[str] = "Xin et al. 2022, arXiv:2209.11379, section 3; Kurin et al. 2022, arXiv:2201.04122"
    when: ClassVar[str] = (
        "The default. `cross_validated` where the weights are to be found, `uncertainty` to learn them."
    )
    given: dict[str, float] = Field(default_factory=dict)
    """Weight of each task by name, `{intent: 1, slots: 2}`."""

    def refuses(self, names: Sequence[str]) -> str | None:
        """Refuse weights of tasks that are not there, and weights that are none."""
        strangers = sorted(set(self.given) - set(names))
        if strangers:
            return f"given has a weight for '{strangers[0]}', which is no task of the recipe ({', '.join(names)})"
        wrong = [name for name, weight in self.given.items() if not 0 <= weight < float("inf")]
        if wrong:
            return f"the weight of '{wrong[0]}' is {self.given[wrong[0]]}; expected a number of 0 or more"
        if names and not any(self.given.get(name, 1.0) for name in names):
            return "every weight is 0, so that nothing would train"
        return super().refuses(names)

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return the given weights."""
        return {name: self.given.get(name, 1.0) for name in names}
