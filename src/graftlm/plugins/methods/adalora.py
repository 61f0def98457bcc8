"""AdaLoRA: updates of low rank whose ranks go where they matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.adapters import AdapterMethod
from graftlm.contracts.loss import Look, Loss
from graftlm.contracts.method import Adaptation, Setting, Update
from graftlm.contracts.model import Model
from graftlm.core import log
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "default"  # of PEFT's adapter


class Adalora(AdapterMethod):
    """W + P L Q with L diagonal; entries of L are zeroed by importance until the budget of ranks is reached.

    Importance is the smoothed |w g| times its smoothed uncertainty. The budget falls by a cubic from `start_rank` to
    `rank` for each layer on average. P and Q are held near orthogonal by |P^T P - 1| + |Q Q^T - 1|. With merge: false
    the ranks that are left are kept as plain LoRA.
    """

    source: ClassVar[str] = "Zhang et al. 2023, arXiv:2303.10512, algorithm 1; PEFT"
    when: ClassVar[str] = "A given number of parameters, and layers that need them unevenly; `lora` is simpler."
    rank: int = Field(8, ge=1, le=4096)
    """Mean rank of a layer at the end."""
    start_rank: int = Field(12, ge=2, le=8192)
    """Rank of each layer at the start."""
    alpha: float = Field(16.0, gt=0)
    """Scale of the update, divided by the rank."""
    warm: float = Field(0.1, ge=0, lt=1)
    """Share of the steps before ranks fall."""
    settle: float = Field(0.3, ge=0, lt=1)
    """Share of the steps at the end in which ranks stay as they are."""
    orthogonal: float = Field(0.5, ge=0, le=100)
    """Strength of the penalty on P and Q that are not orthogonal."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse ranks that cannot fall, and runs too short for it."""
        if self.start_rank <= self.rank:
            return f"start_rank is {self.start_rank} and rank {self.rank}: ranks would not fall"
        if self.warm + self.settle >= 1:
            return f"warm {self.warm} and settle {self.settle} leave no steps in which ranks fall"
        if self.start_rank > model.card.width:
            return f"start_rank is {self.start_rank}, but '{model.card.name}' is {model.card.width} wide"
        return super().refuses(model, setting)

    def config(self, peft: Any, setting: Setting, layers: Sequence[str], **shared: Any) -> Any:
        """Return PEFT's configuration."""
        return peft.AdaLoraConfig(
            init_r=self.start_rank, target_r=self.rank, lora_alpha=self.alpha, total_step=setting.steps,
            tinit=int(self.warm * setting.steps), tfinal=int(self.settle * setting.steps), deltaT=1,
            orth_reg_weight=self.orthogonal, **shared,
        )  # fmt: skip

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Put the adapters in; after each update ranks are given out anew."""
        plain = super().apply(model, setting)
        ranks = _ranks(model, self.config(_peft(), setting, self.layers(model), target_modules=self.layers(model)))

        def finish() -> None:
            left = ranks.left()
            if setting.steps > 2 and left == ranks.total():
                if not ranks.fell:
                    raise UserError(
                        f"adalora: the run ended before any rank was taken away ({left} of {ranks.total()} left). "
                        "Train longer (train.epochs), or use lora."
                    )
                log.warn(
                    f"adalora: the best weights are of a step before any rank was taken away, so that all {left} are "
                    "kept. Train longer (train.epochs), or let ranks fall earlier (warm, settle)."
                )
            if plain.finish is not None:
                plain.finish()

        return Adaptation(
            rates=plain.rates, terms=(_Orthogonal(strength=self.orthogonal),), after_update=ranks.after, finish=finish,
            state=ranks,
        )  # fmt: skip

    def keep_apart(self, model: Model) -> None:
        """Turn the ranks that are left into plain LoRA, whose product is P L Q."""
        from graftlm.nn import adapters

        found = {}
        for name, part in adapters.layers(model.module).items():
            a, b, e = (getattr(part, f"lora_{letter}")[_NAME].detach() for letter in "ABE")
            left = e[:, 0] != 0
            scale = part.scaling[_NAME] / (part.ranknum[_NAME].item() + 1e-5)  # as PEFT's forward pass has it
            found[name] = ((a * e)[left], b[:, left] * scale)
        adapters.become_lora(model.module, found)


def _peft() -> Any:
    from graftlm.core.optional import need

    return need("peft", "peft", "The method 'adalora'")


def _ranks(model: Model, config: Any) -> Any:
    """Return the module that holds the importance of each entry, and PEFT's allocator of ranks."""
    import torch
    from peft.tuners.adalora.layer import RankAllocator

    class Ranks(torch.nn.Module):
        """Smoothed importance, its uncertainty, and which entries of L are left: buffers, so that a run can go on."""

        def __init__(self) -> None:
            super().__init__()
            self.allocator = RankAllocator(model.module, config, _NAME)
            self.fell = False
            self.names = [n for n, _ in model.module.named_parameters() if "lora_" in n and _NAME in n]
            for number, parameter in enumerate(self.adapters()):
                self.register_buffer(f"importance_{number}", torch.zeros_like(parameter))
                self.register_buffer(f"uncertainty_{number}", torch.zeros_like(parameter))
                if "lora_E" in self.names[number]:
                    self.register_buffer(f"left_{number}", torch.ones_like(parameter, dtype=torch.bool))

        def adapters(self) -> list[Tensor]:
            return [model.module.get_parameter(name) for name in self.names]

        def _diagonals(self) -> list[tuple[int, Tensor]]:
            return [(n, p) for n, p in enumerate(self.adapters()) if "lora_E" in self.names[n]]

        def after(self, update: Update) -> None:
            """Move importance on, and take ranks away by the schedule."""
            step, last = update.step + 1, config.total_step - config.tfinal
            if step <= last:
                numbered = list(enumerate(self.names))
                self.allocator.ipt = {name: torch.empty(0) for name in self.names}
                self.allocator.exp_avg_ipt = {name: self.get_buffer(f"importance_{n}") for n, name in numbered}
                self.allocator.exp_avg_unc = {name: self.get_buffer(f"uncertainty_{n}") for n, name in numbered}
                _, pattern = self.allocator.update_and_allocate(model.module, step, force_mask=step == last)
                for n, name in numbered:
                    self.get_buffer(f"importance_{n}").copy_(self.allocator.exp_avg_ipt[name])
                    self.get_buffer(f"uncertainty_{n}").copy_(self.allocator.exp_avg_unc[name])
                    if pattern and name in pattern:
                        self.get_buffer(f"left_{n}").copy_(torch.tensor(pattern[name]).view(-1, 1))
            else:
                with torch.no_grad():
                    for n, parameter in self._diagonals():
                        parameter.masked_fill_(~self.get_buffer(f"left_{n}"), 0.0)
            # not what the buffers say at the end, which are then those of the best step
            self.fell = self.fell or self.left() < self.total()

        def left(self) -> int:
            """Return how many ranks are left, over all layers."""
            return sum(int(self.get_buffer(f"left_{n}").sum()) for n, _ in self._diagonals())

        def total(self) -> int:
            """Return how many ranks there were."""
            return sum(p.numel() for _, p in self._diagonals())

    return Ranks()


class _Orthogonal(Loss):
    """Mean over P and Q of |P^T P - 1| and |Q Q^T - 1| (Frobenius)."""

    def __call__(self, look: Look) -> Tensor:
        """Return the penalty."""
        import torch

        parts = []
        for name, p in look.model.module.named_parameters():
            if f"lora_A.{_NAME}" in name or f"lora_B.{_NAME}" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                parts.append(torch.linalg.norm(product - torch.eye(len(product), device=p.device)))
        return torch.stack(parts).mean()
