"""Update only a part of the weights: a random one at each step, or the one that matters most (Child-Tuning)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Inner, Method, Setting, frozen_base, start_plain_head
from graftlm.contracts.model import Model
from graftlm.core import seeds


class ChildTuning(Method):
    """The gradient g of the base is masked: g * M (driven), or g * M / p (free).

    Driven: M is one at the share p of the entries whose squared gradient, summed over single training rows, is
    largest. Free: M is one at a random share p of the entries, drawn for each step (p rounded to 1/256).
    It holds for the base; the head always trains. Adam's momentum goes on moving entries that `free` masks at a step;
    entries that `driven` leaves out never move, but for weight decay. The reference squares the gradient of batches,
    which shrinks with their size; here each row counts by itself.
    """

    source: ClassVar[str] = "Xu et al. 2021, arXiv:2109.05687, equations 4 to 8; alibaba/AliceMind:ChildTuning"
    when: ClassVar[str] = "Few rows on a large base; `freeze` and `bias_only` choose what trains by its place."
    child: Literal["driven", "free"] = "driven"
    """Which entries train: random ones at each step (task-free), or the most important ones (task-driven)."""
    share: float = Field(0.3, gt=0, le=1)
    """p: share of the entries that train."""
    rows: int = Field(256, ge=1, le=100_000)
    """Training rows that `driven` takes the squared gradients of."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse where the base does not move."""
        return frozen_base(setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Mask each gradient."""
        import torch

        from graftlm.nn.kept import Counter, Kept, full_size, moving, resting
        from graftlm.nn.masks import random_masks
        from graftlm.nn.perturbation import untouched

        start_plain_head(model, setting)
        counter, masks = Counter(), Kept()
        state = torch.nn.ModuleDict({"counter": counter, "masks": masks})
        parameters: dict[str, Any] = {}
        rows: list[Any] = []

        def begin(ground: Ground) -> None:
            inside = f"{model.base}."
            head = "\0" if model.head is None else f"{model.head}."
            found = moving(model.module).items()
            parameters.update({n: p for n, p in found if n.startswith(inside) and not n.startswith(head)})
            if self.child == "driven":
                masks.keep({name: torch.zeros_like(p, dtype=torch.bool) for name, p in parameters.items()})
                rows.extend(ground.batches(self.rows, 1))

        def choose(inner: Inner) -> None:
            """Mark the entries with the largest sums of squared gradients."""
            sums = [torch.zeros_like(p) for p in parameters.values()]
            with resting(model.module), untouched():
                for batch in rows:
                    inner([batch])
                    grads = [torch.zeros(()) if p.grad is None else p.grad for p in parameters.values()]
                    torch._foreach_addcmul_(sums, grads, grads)
                    for parameter in model.module.parameters():
                        parameter.grad = None
            flat = torch.cat([s.flatten() for s in sums])
            # rows of a table that no training text uses are not here, but they count: their gradients are zero
            whole = sum(full_size(model.module, name) for name in parameters)
            count = min(flat.numel(), max(1, round(self.share * whole)))
            least = flat.kthvalue(flat.numel() - count + 1).values
            for mask, total in zip(masks.of(parameters), sums, strict=True):
                mask.copy_(total >= least)

        def wrap(inner: Inner) -> Inner:
            def gradient(batches: Any) -> float:
                if rows:
                    if counter.done() == 0:
                        choose(inner)
                    rows.clear()
                loss = inner(batches)
                if self.child == "driven":
                    chosen = masks.of(parameters)
                else:
                    seed = seeds.child(setting.seed, "child_tuning", counter.done())
                    chosen = random_masks(list(parameters.values()), self.share, seed)
                for parameter, mask in zip(parameters.values(), chosen, strict=True):
                    if parameter.grad is not None:
                        parameter.grad.mul_(mask)
                return loss

            return gradient

        return Adaptation(wrap=wrap, begin=begin, state=state, after_update=counter.count)
