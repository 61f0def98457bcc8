"""Average the weights of several fine-tuned models at the end (model soup)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import (
    Adaptation,
    Method,
    Setting,
    Update,
    frozen_base,
    one_average,
    start_plain_head,
)
from graftlm.contracts.model import Model
from graftlm.core import log
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]


class Soup(Method):
    """The mean of this run's best weights, of those of some of its later steps, and of earlier runs, each once.

    Greedy: ingredients are sorted by their score on the validation rows, the best goes in first, each further one
    stays if the mean with it scores at least as well. Uniform, and where there are no validation rows: all of them.
    Earlier runs must have started from the same base, head included, and have the same labels: with other seeds or
    rates. Steps are evenly spaced over the second half of this run, its end among them, whichever step was the best.
    """

    source: ClassVar[str] = "Wortsman et al. 2022, arXiv:2203.05482, section 2, recipe 1; mlfoundations/model-soups"
    when: ClassVar[str] = "Runs of a sweep are there already; `swa` and `ema` need one run and no choice."
    wants_start: ClassVar[bool] = True
    runs: list[str] = Field(default_factory=list)
    """Folders of earlier runs on the same task and base."""
    steps: int = Field(4, ge=0, le=64)
    """Steps of this run whose weights are ingredients too; each costs a copy of the weights, on disk too."""
    recipe: Literal["greedy", "uniform"] = "greedy"
    """Which ingredients go in."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Refuse adapters, whose mean is not that of what they do, and a second average."""
        return frozen_base(setting) or one_average(self, setting)

    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Keep the ingredients, and cook at the end."""
        import torch

        from graftlm.nn.kept import Counter, Kept, moving, working_rows

        start_plain_head(model, setting)
        pots, counter = [Kept(lasting=True) for _ in range(self.steps)], Counter(lasting=True)
        state = torch.nn.ModuleDict({"counter": counter, **{f"step_{n}": pot for n, pot in enumerate(pots)}})
        half = setting.steps // 2
        at = [half + (n + 1) * (setting.steps - half) // self.steps - 1 for n in range(self.steps)]
        parameters: dict[str, Tensor] = {}
        rows: dict[str, Tensor | None] = {}
        others: list[Weights] = []
        ground_of: list[Ground] = []

        def begin(ground: Ground) -> None:
            parameters.update(moving(model.module))
            rows.update({name: working_rows(model.module, name) for name in parameters})
            for pot in pots:
                pot.keep({name: parameter.detach().clone() for name, parameter in parameters.items()})
            ground_of.append(ground)
            others.extend(_weights_of(ground, run) for run in self.runs)

        def keep(update: Update) -> None:
            counter.count(update)
            with torch.no_grad():
                for place, pot in zip(at, pots, strict=True):
                    if update.step == place:
                        torch._foreach_copy_(pot.of(parameters), list(parameters.values()))

        def finish() -> None:
            if not ground_of:  # another method has solved the head, and nothing was trained
                return
            trained = {name: model.module.get_parameter(name).detach().clone() for name in parameters}

            def whole(pot: Kept) -> Weights:
                out = {}
                for name, tensor in pot.items():
                    kept = rows[name]
                    out[name] = tensor if kept is None else trained[name].index_copy(0, kept, tensor)
                return out

            done = counter.done()
            later = [whole(pot) for place, pot in zip(at, pots, strict=True) if place < done]
            found = [trained, *(each for each in later if not _same(each, trained)), *others]
            judge: Any = ground_of[0].judge

            def score(weights: Weights) -> float:
                _put(model.module, weights)
                told = judge(model)
                return told.value if told.higher_is_better else -told.value

            if self.recipe == "uniform" or judge is None:
                _put(model.module, _mean(found))
                log.note(f"soup: the mean of {len(found)} sets of weights")
                return
            scores = [score(each) for each in found]
            order = sorted(range(len(found)), key=lambda n: -scores[n])
            chosen, best = [found[order[0]]], scores[order[0]]
            for number in order[1:]:
                with_it = score(_mean([*chosen, found[number]]))
                if with_it >= best:
                    chosen, best = [*chosen, found[number]], with_it
            _put(model.module, _mean(chosen))
            log.note(f"soup: {len(chosen)} of {len(found)} sets of weights")

        return Adaptation(state=state, begin=begin, after_update=keep, finish=finish)


def _put(module: Any, weights: Weights) -> None:
    import torch

    with torch.no_grad():
        for name, tensor in weights.items():
            parameter = module.get_parameter(name)
            parameter.copy_(tensor.to(parameter))


def _same(one: Weights, other: Weights) -> bool:
    import torch

    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def _mean(found: list[Weights]) -> Weights:
    import torch

    return {name: torch.stack([each[name] for each in found]).mean(0) for name in found[0]}


def _weights_of(ground: Ground, run: str) -> Weights:
    """Return the weights of an earlier run that this run trains too."""
    earlier = ground.earlier(run)
    if earlier.space != ground.space:
        raise UserError(f"soup: '{run}' has other labels than this run; only models of one task can be averaged.")
    theirs = dict(earlier.model.module.named_parameters())
    module = ground.model.module if ground.start is None else ground.start
    ours = {name: p for name, p in module.named_parameters() if p.requires_grad or ground.start is not None}
    odd = [name for name, p in ours.items() if name not in theirs or theirs[name].shape != p.shape]
    if odd:
        raise UserError(f"soup: '{run}' is built differently than this run's model (in '{odd[0]}').")
    return {name: theirs[name].detach() for name in ours}
