"""Take the gradient at weights perturbed layer by layer against the loss (AWP)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model


class Awp(Method):
    """The gradient at w + gamma * ||w|| * g / ||g|| replaces the gradient g at w, with the norms of each matrix.

    Biases and norms are not perturbed, as in the reference implementation. A table of which only the rows in use
    train is measured whole. A step costs two passes.
    """

    source: ClassVar[str] = "Wu et al. 2020, arXiv:2004.05884, equations 8 to 10; csdongxian/AWP:utils_awp.py"
    when: ClassVar[str] = "Few rows and time for two passes; `sam` takes one step over all weights together."
    gamma: float = Field(0.001, gt=0, le=1)
    """Length of the step as a share of each matrix' norm; 0.005 to 0.01 are usual for images, and too much for many
    small matrices: at 0.005 the embedded MiniLM, its head solved, answers no better than chance."""
    start: float = Field(0.0, ge=0, lt=1)
    """Share of the planned updates after which weights are perturbed; before it a step is plain."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient with two passes."""
        from graftlm.nn.kept import Counter

        start_plain_head(model, setting)
        counter = Counter()
        first = int(self.start * setting.steps)

        def wrap(inner: Inner) -> Inner:
            import torch

            from graftlm.nn.kept import moving, outside_square

            every = moving(model.module)
            matrices = [p for p in every.values() if p.ndim > 1]
            # what the rows that do not train add to the square of a table's norm
            rest = {id(p): outside_square(model.module, name) for name, p in every.items()}

            def gradient(batches: Any) -> float:
                loss = inner(batches)
                if counter.done() < first:
                    return loss
                with torch.no_grad():
                    found = [p for p in matrices if p.grad is not None]
                    steps: Any = [p.grad for p in found]
                    norms = zip(torch._foreach_norm(found), torch._foreach_norm(steps), found, strict=True)
                    scales = [
                        self.gamma * torch.sqrt(own.float() ** 2 + rest[id(p)]) / (step.float() + 1e-12)
                        for own, step, p in norms
                    ]
                    kept = [p.detach().clone() for p in found]
                    torch._foreach_mul_(steps, scales)
                    torch._foreach_add_(found, steps)
                for parameter in every.values():
                    parameter.grad = None
                try:
                    inner(batches)
                finally:  # a step that runs out of memory is made again from the same weights
                    with torch.no_grad():
                        torch._foreach_copy_(found, kept)
                return loss

            return gradient

        return Adaptation(wrap=wrap, state=counter, after_update=counter.count)
