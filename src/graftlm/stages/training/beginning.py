"""Before the first step and at each judgement: what plug-ins are told, and the weights that would be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graftlm.contracts.ground import Ground
from graftlm.contracts.method import Adaptation
from graftlm.contracts.values import Batch, Outputs
from graftlm.core import log, seeds
from graftlm.nn.dropout import Draws

if TYPE_CHECKING:
    from torch import Tensor

    from graftlm.contracts.method import Inner
    from graftlm.stages.training.job import Job
    from graftlm.stages.training.loop import Loop


def ground_of(loop: Loop) -> Ground:
    """Return what training stands on."""
    job = loop.job

    def batches(count: int, size: int) -> Iterator[Batch]:
        sets = job.data.sets(np.arange(len(loop.lengths)))
        order = seeds.generator(loop.section.seed, "ground").permutation(len(sets))[:count]
        for start in range(0, len(order), size):
            yield loop.batch(np.concatenate([sets[number] for number in order[start : start + size]]))

    return Ground(
        job.model, job.task, job.space,
        seed=loop.section.seed, steps=job.plan.steps, rate=job.plan.rate, start=job.start, base=job.base,
        targets=job.data.targets, batches=batches, earlier=job.earlier, judge=job.judge,
    )  # fmt: skip


def begin(loop: Loop) -> torch.nn.ModuleDict:
    """Tell methods and losses that training begins; return the run objects, by place in the recipe."""
    ground = ground_of(loop)
    if ground.start is not None:
        ground.start.to(loop.device)
    states = torch.nn.ModuleDict()
    for number, adaptation in enumerate(loop.job.adaptations):
        if adaptation.begin is not None:
            adaptation.begin(ground)
        if adaptation.state is not None:
            states[f"method_{number}"] = adaptation.state
    for loss, key in loop.terms:
        state = loss.prepare(ground)
        if state is not None:
            states[key] = state
    instead = [loss for loss, _ in loop.terms if loss.replaces_task_loss]
    if len(instead) > 1:
        names = " and ".join(f"'{loss.name()}' times {loss.strength:g}" for loss in instead)
        log.warn(
            f"the losses {names} each stand in for the task's own, and are added up: where that is not meant, let "
            "their strengths add up to 1, or name one of them."
        )
    return states.to(loop.device)


def why_not_stored(loop: Loop) -> str | None:
    """Return why the outputs of frozen blocks cannot be computed once, or None."""
    job, card = loop.job, loop.model.card
    if not card.prefix_cacheable:
        return f"blocks of '{card.architecture}' share what they need"
    if loop.section.sharding != "none":
        return "the model lies in shards"
    if job.task.repeats:
        return "a text that stands several times in a batch is encoded once"
    if job.augmented:
        return "augmentation changes the rows"
    if loop.needs & {"hidden_states", "attentions"}:
        return "a loss looks at the states of all blocks"
    if job.other_text or any(adaptation.perturbs for adaptation in job.adaptations):
        return "other embeddings than those of the rows pass through it"
    return None


def settle(adaptations: Sequence[Adaptation]) -> Callable[[], None]:
    """Put in the weights that would be saved now; return what puts back those that train."""
    undo = [adaptation.settle() for adaptation in adaptations if adaptation.settle is not None]

    def back() -> None:
        for one in reversed(undo):
            one()

    return back


def end(job: Job) -> None:
    """Put in the weights to be saved, once the best ones are in the model, and take what methods leave."""
    settle(job.adaptations)
    for adaptation in job.adaptations:
        if adaptation.leave is not None:
            job.left.update({name: tensor.detach().cpu().contiguous() for name, tensor in adaptation.leave().items()})


@contextmanager
def settled(adaptations: Sequence[Adaptation]) -> Iterator[None]:
    """While in the block, the model has the weights that would be saved now."""
    back = settle(adaptations)
    try:
        yield
    finally:
        back()


class Passes:
    """The forward passes of one micro-batch: once more with other dropout masks, with the same, of another model."""

    def __init__(self, loop: Loop, batch: Batch, asked: Mapping[str, bool]) -> None:
        self.loop, self.batch, self.asked = loop, batch, asked
        self.draws = Draws(loop.levers.tape, loop.device)

    def again(self) -> Outputs:
        """Run the model on the batch."""
        return self._outputs(self.loop.call(self.batch.inputs, **self.asked))

    def repeat(self) -> Outputs:
        """Run the model on the batch with the dropout masks of its first pass."""
        with self.draws.first_again():
            return self.again()

    def run(self, module: Any, inputs: Mapping[str, Any]) -> Outputs:
        """Run any model of the same kind."""
        if module is self.loop.module:
            return self._outputs(self.loop.call(inputs, **self.asked))
        with self.loop.arithmetic():
            return self._outputs(module(**inputs, **self.asked))

    @staticmethod
    def _outputs(out: Any) -> Outputs:
        return Outputs(
            out.logits.float(),  # losses are sums over rows: not in bf16
            getattr(out, "hidden_states", None) or getattr(out, "encoder_hidden_states", None),
            getattr(out, "attentions", None),
            getattr(out, "pooled", None),
        )


def added(inner: Inner, parameters: Sequence[Tensor]) -> Inner:
    """Return a gradient that finds no other one in the parameters and adds its own to what was there before.

    A method that masks or looks at gradients then sees its own pass alone, though one further out makes several.
    """

    def gradient(batches: Any) -> float:
        before = [(p, p.grad) for p in parameters if p.grad is not None]
        for parameter, _ in before:
            parameter.grad = None
        loss = inner(batches)
        for parameter, grad in before:
            parameter.grad = grad if parameter.grad is None else grad.add_(parameter.grad)
        return loss

    return gradient
