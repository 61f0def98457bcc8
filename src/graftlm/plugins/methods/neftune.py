"""Add uniform noise to the word embeddings while training (NEFTune)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.method import Adaptation, Inner, Method, Setting, start_plain_head
from graftlm.contracts.model import Model

if TYPE_CHECKING:
    from torch import Tensor


class Neftune(Method):
    """x + alpha / sqrt(n H) * u, with u uniform in [-1, 1], n the tokens of the sequence and H the width.

    Padding neither counts nor gets noise. Evaluations see the plain embeddings. A step costs one pass.
    """

    source: ClassVar[str] = "Jain et al. 2023, arXiv:2310.05914, section 2, algorithm 1"
    when: ClassVar[str] = "Free, mostly for instruction tuning; `fgm` looks for the worst direction instead."
    alpha: float = Field(5.0, gt=0, le=1000)
    """Size of the noise: its norm is about alpha / sqrt(3) for each sequence; the paper's values are 5, 10, 15."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Go round the gradient."""
        start_plain_head(model, setting)

        def noisy(output: Tensor, real: Tensor) -> Tensor:
            import torch

            if not torch.is_grad_enabled():
                return output
            count = real.sum(1).clamp_min(1).view(-1, 1, 1) * output.shape[-1]
            noise = torch.empty_like(output).uniform_(-self.alpha, self.alpha) / count.sqrt()
            return output + noise.masked_fill(~real.unsqueeze(-1), 0.0)

        def wrap(inner: Inner) -> Inner:
            from graftlm.nn.perturbation import edited

            def gradient(batches: Any) -> float:
                with edited(model.module, noisy):
                    return inner(batches)

            return gradient

        return Adaptation(wrap=wrap, perturbs=True)
