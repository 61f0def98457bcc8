"""The step near the mean gradient that serves the worst-off task best."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Weights


class Cagrad(Balancer):
    """d = g_0 + c |g_0| g_w / |g_w|, g_0 the mean gradient, w on the simplex minimising g_w . g_0 + c |g_0| |g_w|.

    d maximises the smallest gain of all tasks within the ball of radius c |g_0| round g_0. It is multiplied by the
    number of tasks, as a sum of losses is, and divided by 1 + c^2, as the authors' code does (`rescale`).
    """

    source: ClassVar[str] = "Liu et al. 2021, arXiv:2110.14048, algorithm 1"
    when: ClassVar[str] = "Tasks that hurt each other, none of which may lose; `pcgrad` is cheaper with many tasks."
    needs_gradients: ClassVar[bool] = True
    c: float = Field(0.5, ge=0, lt=1)
    """Radius of the ball, as a share of |g_0|; 0 is the plain mean."""
    rescale: bool = True
    """Divide by 1 + c^2."""

    def weights_after(self, balance: Balance) -> Weights:
        """Return the weights of d, K times."""
        import numpy as np
        from scipy.optimize import minimize

        gram = balance.gram().numpy()
        count = len(gram)
        scale = float(np.trace(gram)) / count
        if scale <= 0:
            return dict.fromkeys(balance.losses, 1.0)
        unit = gram / scale
        mean = np.full(count, 1 / count)
        radius = self.c * float(np.sqrt(max(mean @ unit @ mean, 0.0)))

        def objective(w: np.ndarray) -> float:
            return float(w @ unit @ mean + radius * np.sqrt(w @ unit @ w + 1e-16))

        found = minimize(
            objective, mean, bounds=[(0, 1)] * count, constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP", options={"ftol": 1e-12, "maxiter": 200},
        ).x  # fmt: skip
        length = float(np.sqrt(max(found @ unit @ found, 0.0)))
        weights = mean + (radius / length * found if length > 1e-12 else 0.0)
        weights = count * weights / (1 + self.c**2 if self.rescale else 1.0)
        return dict(zip(balance.losses, weights.tolist(), strict=True))
