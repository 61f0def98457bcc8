"""The loop over a model that lies in shards: the same steps, with the whole model only where it is judged or kept."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graftlm.contracts.loss import Loss
from graftlm.contracts.method import Method
from graftlm.contracts.values import Batch, Score
from graftlm.core import log
from graftlm.core.errors import RecipeError
from graftlm.nn import precision as formats
from graftlm.nn.sharding import cut_like, shard, whole
from graftlm.recipe import TrainSection
from graftlm.stages.training.loop import Loop


def refuse(section: TrainSection, methods: Sequence[Method], losses: Sequence[Loss], world: int) -> None:
    """Refuse what does not go with shards, all reasons together.

    Raises:
        RecipeError: it is named, with the reason.
    """
    reasons = []
    if world == 1:
        reasons.append("there is one process, and nothing to cut the model over: set --processes, or use torchrun")
    if not section.optimizer.elementwise:
        reasons.append(f"the optimizer '{section.optimizer.name()}' looks at whole matrices, of which each has a part")
    said = "looks at whole parameters while it trains"
    reasons += [f"the method '{method.name()}' {said}" for method in methods if not method.sharded]
    reasons += [f"the loss '{loss.name()}' {said}, or has a run object" for loss in losses if not loss.sharded]
    if reasons:
        raise RecipeError("train.sharding: full cannot be used here:\n" + "\n".join(f"  {one}." for one in reasons))


class Sharded(Loop):
    """A loop whose module is a copy in shards; the plain model is filled again where it is judged, and at the end."""

    def place(self) -> None:
        """Leave the whole model where it is: only its shards go to the device."""

    def _prepare(self) -> None:
        log.note("sharding: parameters, gradients and optimizer state are cut over the processes")
        self.plain, self.empty = self.model, 0
        self.group.same_tensors([*self.module.parameters(), *self.module.buffers()])
        self.module = copy.deepcopy(self.module)
        shard(self.module, self.model.blocks, self.device, self.group.world)
        for buffer in self.module.buffers():
            buffer.data = buffer.data.to(self.device)
        self.model = replace(self.model, module=self.module)
        super()._prepare()

    def common(self) -> list[Tensor]:
        """Return what must be the same in all processes, shards left out."""
        return [*self.module.buffers(), *self.states.buffers()]

    def micro_batches(self, rows: Any) -> list[Batch]:
        """Return this process's share, and as many empty passes as it needs to keep step with the others."""
        most = -(-len(self.job.data.sets(rows)) // self.group.world)
        size = self.micro or max(1, most)
        own = super().micro_batches(rows)
        self.empty = -(-most // size) - len(own)
        return own + [self.batch(self.job.data.sets(rows)[0])] * self.empty

    def _gradient(self, batches: Sequence[Batch]) -> float:
        counts = [self.job.task.count(batch.targets) for batch in batches]
        real = len(batches) - self.empty
        total = self.group.total(sum(counts[:real]))
        mean = 0.0
        self.group.begin([])
        self.passes += 1
        with self.group.own_numbers(self.section.seed, "loop", self.step, self.passes):
            for number, (batch, count) in enumerate(zip(batches, counts, strict=True)):
                self.levers.tape.begin(self.step, self.group.rank * 4096 + number)
                loss = self._loss(batch, count / total, total)
                loss = loss if number < real else 0.0 * loss
                loss.backward()  # gradients are summed over the processes, and each keeps its part
                mean += float(loss.detach())
        return self.group.add_up([], mean)

    def norm(self) -> Tensor:
        """Return the norm of the whole gradient."""
        return whole(super().norm())

    def collect(self) -> None:
        """Fill the plain model of the first process from the shards."""
        plain = dict(self.plain.module.named_parameters()) | dict(self.plain.module.named_buffers())
        with torch.no_grad():
            for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
                found = whole(tensor.detach())
                if self.group.leads:
                    plain[name].copy_(found)

    def judge(self) -> Score | None:
        """Score the validation rows with the plain model, in the number format of the run."""
        if self.job.judge is None:
            return None
        self.collect()
        if not self.group.leads:
            return Score(**self.group.share(None))
        model = self.plain
        if self.device.type != "cpu":
            model = replace(model, module=formats.converted(model.module, self.dtype, model.head, self.device))
        score = self.job.judge(model)
        self.plain.module.train()
        self.group.share(score.as_json())
        return score

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a tensor put together; only the first process keeps it."""
        found = whole(tensor)
        return found.cpu() if self.group.leads else torch.empty(0)

    def put(self, target: Tensor, value: Tensor) -> None:
        """Write a whole tensor into a shard."""
        target.copy_(cut_like(value, target))

    def cut(self, value: Tensor, parameter: Tensor) -> Tensor:
        """Return this process's part of an optimizer's state of a parameter."""
        return cut_like(value, parameter) if value.shape == parameter.shape else value

    def unite(self) -> None:
        """Go on with the plain model: training is over."""
        self.collect()
        self.model, self.module = self.plain, self.plain.module
