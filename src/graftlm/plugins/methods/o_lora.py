"""LoRA in directions that earlier runs' LoRA did not use (O-LoRA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts import fisher
from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look, Loss
from graftlm.contracts.method import Adaptation, Setting
from graftlm.contracts.model import Model
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

ENDING = ".lora_A.default.weight"


class OLora(AdapterMethod):
    """LoRA, with orthogonal * sum |A_old A'| + size * sum ||A|| + ||B|| added to the loss.

    A_old (r_old, in) are the rows of A of all earlier runs of the chain, which are folded into the weights that this
    run starts from; |.| sums the sizes of the entries, as in the reference. Each run leaves its A and those before it
    in `left.safetensors` of its folder. Without an earlier run it is LoRA that leaves its A.
    """

    source: ClassVar[str] = "Wang et al. 2023, arXiv:2310.14152, equations 6 to 8; cmnfriend/O-LoRA:uie_trainer_lora.py"
    when: ClassVar[str] = "A chain of runs with adapters; `osf` keeps what matters of the base's own weights."
    wants_start: ClassVar[bool] = True
    only_merged: ClassVar[str] = "the next run of a chain starts from the weights with the adapters folded in"
    rank: int = Field(8, ge=1, le=4096)
    """Columns of A and rows of B."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update: alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout ahead of A."""
    run: str | None = None
    """Folder of the earlier run, where this one's base comes from; it was trained with this method."""
    orthogonal: float = Field(0.5, ge=0)
    """lambda_1: weight of the overlap with earlier directions."""
    size: float = Field(0.0, ge=0)
    """lambda_2: weight of the norms of A and B."""

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, bias="none", **shared)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in, and give the terms."""
        import torch

        plain = super().apply(model, setting)
        old: dict[str, Tensor] = {}

        def new() -> dict[str, Tensor]:
            inside = f"{model.base}."
            return {
                name.removeprefix(inside).removesuffix(ENDING): parameter
                for name, parameter in model.module.named_parameters()
                if name.endswith(ENDING)
            }

        def begin(ground: Ground) -> None:
            if self.run is None:
                return
            earlier = ground.earlier(self.run)
            fisher.check_same_start(ground, earlier, self.run)
            mine, here = f"{self.name()}/", new()
            left = {n.removeprefix(mine): t for n, t in earlier.left().items() if n.startswith(mine)}
            if not left:
                raise UserError(
                    f"'{self.run}' left no directions: it was trained without o_lora. Train it with that method first."
                )
            old.update({name: tensor.to(here[name]) for name, tensor in left.items() if name in here})

        def leave() -> Mapping[str, Tensor]:
            found = {n: a.detach() for n, a in new().items()}
            return {f"{self.name()}/{n}": torch.cat([old[n], a]) if n in old else a for n, a in found.items()}

        terms: tuple[Loss, ...] = (_Overlap(strength=self.orthogonal, pairs=lambda: [(old[n], new()[n]) for n in old]),)
        if self.size:
            terms += (_Size(strength=self.size),)
        return replace(plain, terms=terms, begin=begin, leave=leave)


class _Overlap(Loss):
    pairs: Any

    def __call__(self, look: Look) -> Tensor:
        import torch

        total = torch.zeros((), device=look.outputs.logits.device)
        for old, new in self.pairs():
            total = total + (old @ new.T).abs().sum()
        return total


class _Size(Loss):
    def __call__(self, look: Look) -> Tensor:
        import torch

        found = [p.norm() for name, p in look.model.module.named_parameters() if ".lora_" in name]
        return torch.stack(found).sum()
