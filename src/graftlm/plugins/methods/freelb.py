"""Train on the mean gradient along an ascent in the word embeddings (FreeLB)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Freelb(Method):
    """The mean over k < K of the gradients of L(x + d_k): d_0 uniform, d_(k+1) = d_k + step * g_k / ||g_k||.

    d_0 is drawn from [-m, m] / sqrt(n H), with m the `start` size and n the sequence's tokens; g_k is the gradient
    at the word embeddings x, norms are of one sequence. All K passes use the same dropout masks. A step costs
    K passes, each of which counts for the weights.
    """

    source: ClassVar[str] = "Zhu et al. 2020, arXiv:1909.11764, algorithm 1; zhuchen03/FreeLB:run_glue_freelb.py"
    when: ClassVar[str] = "The strongest adversarial training for its passes; `fgm` where two passes are the limit."
    steps: int = Field(3, ge=2, le=32)
    """K: passes, and steps along the ascent but for the last."""
    step: float = Field(0.1, gt=0, le=100)
    """Length of one step; 0.03 to 0.2 are usual."""
    start: float = Field(0.1, ge=0, le=100)
    """m: size of the random perturbation that it begins with."""
    longest: float = Field(0.0, ge=0, le=100)
    """Longest perturbation of a sequence; 0: no limit."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient with K passes."""
        start_plain_head(model, setting)

        def wrap(inner: Inner) -> Inner:
            import torch

            from graftlm.nn.kept import moving
            from graftlm.nn.perturbation import Deltas, directions, edited, same_draws, within

            every = list(moving(model.module).values())

            def gradient(batches: Any) -> float:
                # drawn from a stream of its own, so that the dropout masks that follow are the same in each pass
                own = torch.Generator().manual_seed(int(torch.randint(1 << 62, ())))

                def first(output: Tensor, real: Tensor) -> Tensor:
                    count = real.sum(1).clamp_min(1).view(-1, 1, 1) * output.shape[-1]
                    drawn = torch.empty(output.shape).uniform_(-self.start, self.start, generator=own).to(output)
                    return (drawn / count.sqrt()).masked_fill(~real.unsqueeze(-1), 0.0)

                deltas, mean = Deltas(first), 0.0
                with same_draws(every[0].device) as again, edited(model.module, deltas):
                    for k in range(self.steps):
                        again()
                        mean += inner(batches) / self.steps
                        if k == self.steps - 1:
                            break
                        moved = [
                            value.detach() + self.step * way
                            for value, way in zip(deltas.values, directions(deltas.gradients()), strict=True)
                        ]
                        if self.longest:
                            moved = [within(value, self.longest) for value in moved]
                        deltas.rewind(moved, last=k == self.steps - 2)
                with torch.no_grad():
                    torch._foreach_mul_([p.grad for p in every if p.grad is not None], 1 / self.steps)
                return mean

            return gradient

        return Adaptation(wrap=wrap, perturbs=True)
