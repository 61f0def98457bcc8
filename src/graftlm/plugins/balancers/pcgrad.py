"""Conflicting gradients are projected onto each other's normal plane."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.balancer import Balance, Balancer, Weights


class Pcgrad(Balancer):
    """g_i loses its projection on each g_j, in random order, with which it conflicts (g_i . g_j < 0); then all add up.

    The projections lie in the span of the gradients, so that they are weights, found from the inner products alone.
    """

    source: ClassVar[str] = "Yu et al. 2020, arXiv:2001.06782, algorithm 1"
    when: ClassVar[str] = (
        "Tasks that hurt each other; `cagrad` for a step that no task pays for, `fixed` where none do."
    )
    needs_gradients: ClassVar[bool] = True

    def weights_after(self, balance: Balance) -> Weights:
        """Return the weights that give the sum of projected gradients."""
        import torch

        gram = balance.gram()
        count = len(gram)
        total = torch.zeros(count, dtype=gram.dtype)
        for i in range(count):
            mine = torch.zeros(count, dtype=gram.dtype)
            mine[i] = 1.0
            for j in balance.plan.rng.permutation(count).tolist():
                product = gram[j] @ mine
                if j != i and product < 0:
                    mine[j] -= product / gram[j, j]
            total += mine
        return dict(zip(balance.losses, total.tolist(), strict=True))
