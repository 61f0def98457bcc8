"""Take the gradient where the loss near the weights is worst (SAM)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model


class Sam(Method):
    """The gradient at w + rho * g / ||g|| replaces the gradient g at w; the norm is over all parameters that train.

    With `adaptive` the step is rho * w^2 g / ||w g||, which does not change when the weights are rescaled (ASAM,
    Kwon et al. 2021, arXiv:2102.11600, equation 5). A step costs two passes.
    """

    source: ClassVar[str] = "Foret et al. 2021, arXiv:2010.01412, algorithm 1, equation 2; davda54/sam:sam.py"
    when: ClassVar[str] = "Few rows and time for two passes; `awp` scales the step by each weight's own norm."
    rho: float = Field(0.05, gt=0, le=10)
    """Length of the step from the weights; adaptive: ten times more is usual."""
    adaptive: bool = False
    """Whether the step is measured in units of the weights."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient with two passes."""
        start_plain_head(model, setting)

        def wrap(inner: Inner) -> Inner:
            import torch

            from graftlm.nn.kept import moving

            every = list(moving(model.module).values())

            def gradient(batches: Any) -> float:
                loss = inner(batches)
                with torch.no_grad():
                    parameters = [p for p in every if p.grad is not None]
                    steps: Any = [p.grad for p in parameters]
                    if self.adaptive:
                        steps = torch._foreach_mul(steps, parameters)
                    norm = torch.nn.utils.get_total_norm(steps)
                    if self.adaptive:
                        torch._foreach_mul_(steps, parameters)
                    kept = [p.detach().clone() for p in parameters]
                    torch._foreach_add_(parameters, steps, alpha=float(self.rho / (norm + 1e-12)))
                for parameter in every:
                    parameter.grad = None
                try:
                    inner(batches)
                finally:  # a step that runs out of memory is made again from the same weights
                    with torch.no_grad():
                        torch._foreach_copy_(parameters, kept)
                return loss

            return gradient

        return Adaptation(wrap=wrap)
