"""Speed levers: parts of a model that are swapped while it trains and put back after, changing nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts.model import Model
from graftlm.core import log
from graftlm.nn import allocator, attention, dropout, vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from graftlm.stages.training.loop import Loop

SHORT, LONGEST = 96, 256
"""Mean tokens up to which plain attention runs backward faster than the fused kernel on a processor (measured), and
the longest sequence for which it is used: its weights grow with the square of the length, and so do their masks."""


class Levers:
    """What was swapped into a model, in order; `release` puts everything back."""

    def __init__(self, model: Model, seed: int) -> None:
        self.model = model
        self.tape = dropout.MaskTape(seed)
        self.undo: list[Callable[[], None]] = []

    def keep_pages(self) -> None:
        """Keep freed memory in the process."""
        if allocator.keep_pages():
            log.note("allocator: freed pages are kept for the next step")

    def working_vocabulary(self, ids: np.ndarray) -> None:
        """Keep only the embedding rows of these ids as parameters."""
        module = self.model.module
        table = vocabulary.input_embedding(module)
        if table is None or not table.weight.requires_grad:
            return
        swapped = vocabulary.swap_in(module, ids)
        if swapped:
            self.undo.append(lambda: vocabulary.swap_out(swapped))
            log.note(f"working vocabulary: {len(ids):,} of {table.num_embeddings:,} embedding rows train")

    def fast_dropout(self) -> None:
        """Take dropout masks from the tape."""
        swapped = dropout.swap_in(self.model.module, self.tape)
        if swapped:
            self.undo.append(lambda: dropout.swap_out(swapped))

    def without_cache(self) -> None:
        """Keep decoders from storing keys and values of tokens that nobody goes on from."""
        for part in self.model.module.modules():
            config = getattr(part, "config", None)
            if config is not None and getattr(config, "use_cache", False) is True:
                self.undo.append(partial(setattr, config, "use_cache", True))
                config.use_cache = False

    def attention_that_shows(self) -> None:
        """Use the attention that returns its weights, which fused kernels never have."""
        for part in self.model.module.modules():
            config = getattr(part, "config", None)
            if config is not None and hasattr(part, "base_model_prefix") and config._attn_implementation != "eager":
                self.undo.append(partial(setattr, config, "_attn_implementation", config._attn_implementation))
                config._attn_implementation = "eager"

    def plain_attention(self, sample: dict[str, Tensor]) -> None:
        """Use plain attention with masks from the tape, if it gives what the model's own attention gives."""
        import torch
        from transformers import AttentionInterface, AttentionMaskInterface
        from transformers.masking_utils import eager_mask

        module = self.model.module
        holders: list[Any] = [
            part for part in module.modules() if hasattr(part, "config") and hasattr(part, "base_model_prefix")
        ]
        if not holders:
            return
        own = holders[0].config._attn_implementation
        name = f"graftlm_tape_{id(self.tape):x}"
        AttentionInterface.register(name, attention.make(self.tape))
        AttentionMaskInterface.register(name, eager_mask)

        def put(value: str) -> None:
            for part in holders:
                part.config._attn_implementation = value

        training = module.training
        module.eval()
        with torch.no_grad():
            before = module(**sample).logits
            put(name)
            try:
                after = module(**sample).logits
            except (TypeError, RuntimeError, ValueError, KeyError) as fault:
                log.note(f"attention: the model's own kernel is kept ({type(fault).__name__} with the plain one)")
                after = None
        module.train(training)
        if after is None or not torch.allclose(before, after, atol=1e-4, rtol=1e-4):
            put(own)
            return
        self.undo.append(lambda: put(own))
        log.note("attention: plain products, faster than the fused kernel at these lengths")

    def release(self) -> None:
        """Put everything back, last swapped first."""
        while self.undo:
            self.undo.pop()()
        self.tape.tapes.clear()


def tied(module: Any) -> bool:
    """Tell whether another layer shares the embedding table: the output layer, or the embeddings of a second stack."""
    tables = (part.get_input_embeddings() for part in module.modules() if hasattr(part, "get_input_embeddings"))
    table = next(tables, None)
    if table is None:
        return False
    return any(part is not table and getattr(part, "weight", None) is table.weight for part in module.modules())


def pull(loop: Loop) -> None:
    """Swap in what makes this run faster, and say what is left out and why."""
    job, section, levers = loop.job, loop.section, loop.levers
    on_cpu = loop.device.type == "cpu"
    if on_cpu:
        levers.keep_pages()
    if section.working_vocabulary:
        reason = None
        if not section.optimizer.elementwise:
            reason = f"the optimizer '{section.optimizer.name()}' is not element-wise"
        elif tied(loop.module):
            reason = "another layer shares the embedding table"
        elif job.augmented or job.other_text:
            reason = "other text than the training rows reaches the model"
        elif section.sharding != "none":
            reason = "the embedding table lies in shards"
        if reason is None:
            # with the padding, which trains as little in the full table, no batch has to look there
            ids = np.union1d(job.data.packed.vocabulary(), [loop.pad])
            levers.working_vocabulary(ids)
        else:
            log.note(f"working vocabulary: off, because {reason}")
    levers.without_cache()
    if "attentions" in loop.needs:
        levers.attention_that_shows()
    if section.fast_dropout and on_cpu:
        short = float(loop.lengths.mean()) <= SHORT and int(loop.lengths.max()) <= LONGEST
        if short and "attentions" not in loop.needs:
            ends = {int(loop.lengths.argmin()), int(loop.lengths.argmax())}  # so that there is padding
            levers.plain_attention(loop.inputs(sorted(ends)))
        levers.fast_dropout()
