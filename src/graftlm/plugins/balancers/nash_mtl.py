"""The step on which the tasks would agree if they bargained."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Balance, Balancer, Weights


class NashMtl(Balancer):
    """d = sum of a_k g_k with a > 0 and G a = 1 / a, G the inner products: the Nash bargaining solution.

    G a = 1 / a says that a is where a . G a / 2 - sum of ln a_k is smallest, a convex function with one minimum, found
    by Newton's method (the authors solve a sequence of linearised problems for the same point). Gradients that depend
    on each other linearly get a small ridge, since the function has no minimum on them.
    """

    source: ClassVar[str] = "Navon et al. 2022, arXiv:2202.01017, claim 3.1 and section 3.2"
    when: ClassVar[str] = "Tasks of different scale that hurt each other; does not depend on how losses are scaled."
    needs_gradients: ClassVar[bool] = True
    longest: float = Field(1.0, ge=0)
    """Norm that the shared step is cut to (the authors' max_norm); 0: not cut."""
    ridge: float = Field(1e-6, gt=0, le=1)
    """Added to the diagonal of the gradients' cosines."""

    def weights_after(self, balance: Balance) -> Weights:
        """Return a, found for gradients of unit length and scaled back: then how losses are scaled does not matter."""
        import numpy as np

        gram = balance.gram().numpy()
        norms = np.sqrt(np.diag(gram))
        if (norms <= 0).any():
            return dict.fromkeys(balance.losses, 1.0)
        unit = gram / np.outer(norms, norms) + self.ridge * np.eye(len(gram))
        a = np.ones(len(gram))

        def value(at: np.ndarray) -> float:
            return float(at @ unit @ at / 2 - np.log(at).sum())

        for _ in range(100):
            slope = unit @ a - 1 / a
            if np.abs(slope * a).max() < 1e-10:
                break
            step = np.linalg.solve(unit + np.diag(1 / a**2), slope)
            size = min(1.0, 0.99 / max(1e-12, float((step / a).max())))  # a stays positive
            while value(a - size * step) > value(a) - 1e-4 * size * float(slope @ step) and size > 1e-10:
                size /= 2
            a = a - size * step
        a = a / norms
        length = float(np.sqrt(max(a @ gram @ a, 0.0)))
        if self.longest and length > self.longest:
            a = a * self.longest / length
        return dict(zip(balance.losses, a.tolist(), strict=True))
