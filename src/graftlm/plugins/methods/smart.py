"""Answers must not change in a small ball round the embeddings, nor from step to step (SMART)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss, choices
from graftlm.contracts.method import Adaptation, Method, Setting, Update, start_plain_head
from graftlm.contracts.model import Model
from graftlm.contracts.values import Outputs

if TYPE_CHECKING:
    from torch import Tensor


class Smart(Method):
    """loss + smooth * D(f(x), f(x + d)) + near * D(f(x), f'(x)), with d the worst in |d| <= epsilon, found in K steps.

    D is KL(p || q) + KL(q || p) of the answers, or the mean squared difference where a task does not choose. d begins
    normal with deviation epsilon and moves by step * g / max|g| along the gradient g of D, each sequence by itself;
    all passes use the same dropout masks. f' has a running mean of the weights. K steps cost K + 1 more passes, f'
    one forward. The paper's epsilon is 1e-5, which bf16 cannot tell from nothing; here it is 1e-2.
    """

    source: ClassVar[str] = "Jiang et al. 2020, arXiv:1911.03437, equations 2 to 5, algorithm 1"
    when: ClassVar[str] = "Few rows and time for three passes; `r_drop` asks the same of two dropout masks for two."
    smooth: float = Field(1.0, ge=0, le=1e4)
    """Weight of the smoothness; the paper takes 1 to 5."""
    near: float = Field(0.0, ge=0, le=1e4)
    """Weight of the distance from the running mean (the paper's Bregman term, there 1); 0: none is kept."""
    decay: float = Field(0.99, ge=0, lt=1)
    """Share of the running mean that stays at each update."""
    epsilon: float = Field(1e-2, gt=0, le=10)
    """Half the edge of the cube that d stays in."""
    step: float = Field(1e-2, gt=0, le=10)
    """Length of one step."""
    steps: int = Field(1, ge=1, le=16)
    """K: steps along the gradient."""

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Give the terms, and follow the weights for f'."""
        import torch

        from graftlm.nn.kept import Kept, moving

        start_plain_head(model, setting)
        kept = Kept()
        terms: list[Loss] = [_Smooth(strength=self.smooth, epsilon=self.epsilon, step=self.step, steps=self.steps)]
        if not self.near:
            return Adaptation(terms=tuple(terms), perturbs=True)
        parameters: dict[str, Tensor] = {}

        def begin(ground: Ground) -> None:
            parameters.update(moving(model.module))
            kept.keep({name: parameter.detach().clone() for name, parameter in parameters.items()})

        def follow(update: Update) -> None:
            with torch.no_grad():
                torch._foreach_lerp_(kept.of(parameters), list(parameters.values()), 1 - self.decay)

        terms.append(_Near(strength=self.near, mean=kept))
        return Adaptation(terms=tuple(terms), perturbs=True, state=kept, begin=begin, after_update=follow)


class _Smooth(Loss):
    epsilon: float
    step: float
    steps: int

    def __call__(self, look: Look) -> Tensor:
        import torch

        from graftlm.nn.perturbation import Deltas, edited

        def first(output: Tensor, real: Tensor) -> Tensor:
            drawn = self.epsilon * torch.randn(output.shape).to(output)
            return drawn.clamp(-self.epsilon, self.epsilon).masked_fill(~real.unsqueeze(-1), 0.0)

        deltas = Deltas(first)
        with edited(look.model.module, deltas):
            for k in range(self.steps):
                apart = _apart(look, look.repeat(), fixed=True)
                found = torch.autograd.grad(apart, deltas.values)
                moved = []
                for value, grad, real in zip(deltas.values, found, deltas.real, strict=True):
                    grad = grad.masked_fill(~real, 0.0)
                    way = grad / grad.flatten(1).abs().amax(1).clamp_min(1e-30).view(-1, 1, 1)
                    moved.append((value.detach() + self.step * way).clamp(-self.epsilon, self.epsilon))
                deltas.rewind(moved, last=k == self.steps - 1)
            return _apart(look, look.repeat())


class _Near(Loss):
    mean: Any

    def __call__(self, look: Look) -> Tensor:
        import torch

        pairs = [(look.model.module.get_parameter(name), tensor) for name, tensor in self.mean.items()]
        own = [parameter.data for parameter, _ in pairs]
        try:
            for parameter, tensor in pairs:
                parameter.data = tensor
            with torch.no_grad():
                other = look.repeat()
        finally:
            for (parameter, _), tensor in zip(pairs, own, strict=True):
                parameter.data = tensor
        return _apart(look, other)


def _apart(look: Look, other: Outputs, *, fixed: bool = False) -> Tensor:
    """Return D of the batch's outputs and others, as a mean over rows; `fixed`: no gradient for the batch's own."""
    from torch.nn.functional import kl_div, mse_loss

    if not look.task.chooses:
        own = look.outputs.logits.detach() if fixed else look.outputs.logits
        return mse_loss(other.logits, own)
    one = choices(look)[0].log_softmax(-1)
    one = one.detach() if fixed else one
    two = choices(replace(look, outputs=other))[0].log_softmax(-1)
    both = kl_div(one, two, reduction="sum", log_target=True) + kl_div(two, one, reduction="sum", log_target=True)
    return both / max(1, len(one))
