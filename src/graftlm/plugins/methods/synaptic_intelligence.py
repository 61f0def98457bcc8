"""Weights that brought the loss down before are held near where they ended (synaptic intelligence)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts import fisher
from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation, Inner, Method, Setting, Update, frozen_base, start_plain_head
from graftlm.contracts.model import Model
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

PART = "base"
"""What the names of left tensors begin with: the same whatever the base is called in a model."""


class SynapticIntelligence(Method):
    """o_i grows by -g_i * dw_i at each update; a later run's loss gets strength * sum over i of O_i * (w_i - w0_i)^2.

    g is the gradient of the loss before the penalty and before clipping, dw the update. At the end O_i is what the
    earlier run left plus max(o_i, 0) / ((w_i - w0_i)^2 + damping), and is left for later runs, in `left.safetensors`
    of the run folder. Without an earlier run nothing is held: the run only leaves its O. The base alone counts. The
    penalty is not in the loss that is told.
    """

    source: ClassVar[str] = "Zenke et al. 2017, arXiv:1703.04200, equations 3 to 5"
    when: ClassVar[str] = "A chain of runs planned ahead, at no extra pass; `ewc` needs nothing of the run before it."
    wants_start: ClassVar[bool] = True
    run: str | None = None
    """Folder of the earlier run, where this one's base comes from; it was trained with this method."""
    strength: float = Field(0.1, ge=0)
    """c: weight of the penalty."""
    damping: float = Field(0.1, gt=0)
    """xi: keeps what hardly moved from counting without bound."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse where the base does not move."""
        return frozen_base(setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Follow each update, and hold what the earlier run left."""
        import torch

        from graftlm.nn.importance import carried
        from graftlm.nn.kept import Kept, anchors, working_rows

        start_plain_head(model, setting)
        module = model.module
        path, before = Kept(), Kept()
        state = torch.nn.ModuleDict({"path": path, "before": before})
        held: dict[str, Tensor] = {}
        full: dict[str, tuple[Tensor | None, Any]] = {}
        last: dict[str, list[Tensor]] = {}

        def begin(ground: Ground) -> None:
            held.update(anchors(module, model.base, model.head, ground.start))
            for name, first in held.items():
                rows = working_rows(module, name)
                whole = first.shape if rows is None else (_table(module, name).num_embeddings, *first.shape[1:])
                full[name] = (None if rows is None else rows.clone(), whole)
            path.keep({name: torch.zeros_like(first) for name, first in held.items()})
            before.keep({name: torch.zeros_like(first) for name, first in held.items()})
            if self.run is None:
                return
            earlier = ground.earlier(self.run)
            fisher.check_same_start(ground, earlier, self.run)
            mine = f"{self.name()}/"
            left = {n.removeprefix(mine): t for n, t in earlier.left().items() if n.startswith(mine)}
            if not left:
                raise UserError(
                    f"'{self.run}' left nothing to hold: it was trained without synaptic_intelligence. Train it with "
                    "that method, or take `ewc`, which looks at its rows instead."
                )
            for name, tensor in carried(left, PART, module, model.base, held).items():
                before.of([name])[0].copy_(tensor)

        def wrap(inner: Inner) -> Inner:
            parameters: list[Tensor] = [module.get_parameter(name) for name in held]

            def gradient(batches: Any) -> float:
                loss = inner(batches)
                with torch.no_grad():
                    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
                    last["gradient"] = [grad.clone() for grad in grads]
                    last["weights"] = [parameter.detach().clone() for parameter in parameters]
                    if self.run is not None:
                        apart: Any = torch._foreach_sub(parameters, list(held.values()))
                        torch._foreach_addcmul_(grads, apart, before.of(held), 2 * self.strength)
                        for parameter, grad in zip(parameters, grads, strict=True):
                            parameter.grad = grad
                return loss

            return gradient

        def follow(update: Update) -> None:
            parameters: list[Tensor] = [module.get_parameter(name) for name in held]
            with torch.no_grad():
                moved: Any = torch._foreach_sub(parameters, last.pop("weights"))
                torch._foreach_addcmul_(path.of(held), moved, last.pop("gradient"), -1.0)

        def leave() -> Mapping[str, Tensor]:
            out = {}
            for name, first in held.items():
                apart = module.get_parameter(name).detach() - first
                found = before.of([name])[0] + path.of([name])[0].clamp_min(0) / (apart.square() + self.damping)
                rows, shape = full[name]
                if rows is not None:
                    found = torch.zeros(shape, dtype=found.dtype, device=found.device).index_copy(0, rows, found)
                out[f"{self.name()}/{PART}.{name.removeprefix(f'{model.base}.')}"] = found
            return out

        return Adaptation(wrap=wrap, begin=begin, after_update=follow, state=state, leave=leave)


def _table(module: Any, name: str) -> Any:
    """Return the full embedding table behind a working one."""
    return module.get_submodule(name.rpartition(".")[0]).aside.table
