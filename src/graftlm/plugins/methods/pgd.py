"""Train on several small steps against the loss in the word embeddings as well (PGD)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model


class Pgd(Method):
    """The gradient of L(x) + L(x + d_K): d_0 = 0, d_(k+1) is d_k + step * g_k / ||g_k||, shortened to norm epsilon.

    g_k is the gradient of L(x + d_k) at the word embeddings x, norms are of one sequence. Of the K passes with a
    perturbation only the last counts for the weights, beside the plain one. A step costs K + 1 passes.
    """

    source: ClassVar[str] = "Madry et al. 2018, arXiv:1706.06083, section 2.1"
    when: ClassVar[str] = "A stronger adversary than `fgm`; `freelb` uses the gradients of all its passes."
    steps: int = Field(3, ge=1, le=32)
    """K: steps against the loss."""
    step: float = Field(0.3, gt=0, le=100)
    """Length of one step."""
    epsilon: float = Field(1.0, gt=0, le=100)
    """Longest perturbation of a sequence."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient with K + 1 passes."""
        start_plain_head(model, setting)

        def wrap(inner: Inner) -> Inner:
            from graftlm.nn.kept import moving
            from graftlm.nn.perturbation import Deltas, directions, edited, within

            every = list(moving(model.module).values())

            def gradient(batches: Any) -> float:
                deltas = Deltas()
                with edited(model.module, deltas):
                    loss = inner(batches)
                    plain = [p.grad for p in every]
                    for k in range(self.steps):
                        moved = [
                            within(value.detach() + self.step * way, self.epsilon)
                            for value, way in zip(deltas.values, directions(deltas.gradients()), strict=True)
                        ]
                        for parameter in every:
                            parameter.grad = None
                        last = k == self.steps - 1
                        if last:
                            for parameter, grad in zip(every, plain, strict=True):
                                parameter.grad = grad
                        deltas.rewind(moved, last=last)
                        inner(batches)
                return loss

            return gradient

        return Adaptation(wrap=wrap, perturbs=True)
