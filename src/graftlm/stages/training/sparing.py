"""Sparing memory: a step that does not fit is taken back and made again in smaller micro-batches."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graftlm.core import log, memory
from graftlm.core.errors import UserError
from graftlm.stages.training.processes import Shortage

if TYPE_CHECKING:
    from graftlm.stages.training.loop import Loop


def gradient(loop: Loop, rows: Any) -> float:
    """Leave the gradient of a global batch in the parameters; return its mean loss.

    When memory runs out, what the half-made step left is taken back (gradients, random states, buffers), the
    micro-batch is halved for the rest of the run, and the step is made again: the effective batch stays.
    Among several processes all do so where one runs out in its passes; elsewhere the fault is raised as it is.

    Raises:
        UserError: not even one row at a time fits; the message says what to change.
    """
    while True:
        undo = _remember(loop)
        try:
            return loop.gradient(loop.micro_batches(rows))
        except (MemoryError, RuntimeError) as fault:
            if not (isinstance(fault, Shortage) if loop.group.world > 1 else memory.ran_out(fault)):
                raise
        # not in the block above: as long as the fault lives, its trace holds the tensors of the step
        loop.optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if loop.device.type == "cuda":
            torch.cuda.empty_cache()
        undo()
        most = -(-len(loop.job.data.sets(rows)) // loop.group.world)
        before = min(loop.micro or most, most)
        if before == 1:
            raise UserError(
                f"Memory ran out at step {loop.step + 1} with one row at a time (the longest of the batch has "
                f"{int(loop.lengths[rows].max())} tokens). Take a smaller base (--base), or end other programs that "
                "hold memory; what was trained up to the last checkpoint is kept, go on with --resume."
            )
        loop.micro = (before + 1) // 2
        parts = -(-most // loop.micro)
        log.note(
            f"memory ran out at step {loop.step + 1}: micro-batches of {loop.micro} instead of {before} from here on, "
            f"{parts} of them to an update; the batch of {loop.section.batch_size} stays"
        )


def _remember(loop: Loop) -> Callable[[], None]:
    """Return what puts random states and buffers back as they are now."""
    # what a run object changes only after an update (an average of all weights, say) need not be copied at each step
    buffers = [*loop.module.buffers()]
    buffers += [
        buffer
        for part in loop.states.modules()
        if not getattr(part, "between_updates", False)
        for buffer in part.buffers(recurse=False)
    ]
    copies = [b.clone() for b in buffers]
    drawn, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    on_device = torch.cuda.get_rng_state(loop.device) if loop.device.type == "cuda" else None

    def undo() -> None:
        for buffer, copy in zip(buffers, copies, strict=True):
            buffer.copy_(copy)
        torch.set_rng_state(drawn)
        random.setstate(python)
        np.random.set_state(numpy)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, loop.device)

    return undo
