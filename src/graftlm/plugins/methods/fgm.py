"""Train on a step against the loss in the word embeddings as well (FGM)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model


class Fgm(Method):
    """The gradient of L(x) + L(x + d), with d = epsilon * g / ||g||.

    g is the gradient of L(x) at the word embeddings x. The norm is that of one sequence, padding left out; d is held
    fixed. A step costs two passes.
    """

    source: ClassVar[str] = "Miyato et al. 2017, arXiv:1605.07725, section 3, equations 3 to 6"
    when: ClassVar[str] = "The cheapest adversarial training; `freelb` where there is time for more passes."
    epsilon: float = Field(0.5, gt=0, le=100)
    """Length of the step in a sequence's embeddings; 0.5 to 1 are usual, the scale of the embeddings decides."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient with two passes."""
        start_plain_head(model, setting)

        def wrap(inner: Inner) -> Inner:
            from graftlm.nn.perturbation import Deltas, directions, edited

            def gradient(batches: Any) -> float:
                deltas = Deltas()
                with edited(model.module, deltas):
                    loss = inner(batches)
                    deltas.rewind([self.epsilon * value for value in directions(deltas.gradients())], last=True)
                    inner(batches)
                return loss

            return gradient

        return Adaptation(wrap=wrap, perturbs=True)
