"""Frozen prefix: the outputs of the lowest blocks, computed once and replayed.

Blocks that never change and run in eval mode give the same states for a row in each epoch. Their outputs
are stored (in memory, beyond a limit in a memory-mapped file); while training, block 0 is replaced by one
that returns the stored states and the blocks above it up to the boundary pass them on. Exact where a block
takes the states as its first argument and returns them (BERT, ModernBERT, GPT-2, Llama), not where
blocks share something else (T5's position bias, ALBERT's one block).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MEMORY_LIMIT = 1 << 30
"""Bytes of stored states beyond which they go to a memory-mapped temporary file."""


class _Replay(nn.Module):
    """Returns the stored states of the batch instead of computing them.

    What the model asks a block for (its kind of attention, say) is answered by the block that it stands for.
    """

    def __init__(self, block: nn.Module, as_tuple: bool) -> None:
        super().__init__()
        self.__dict__["block"] = block  # beside the modules: its parameters are not part of the model now
        self.as_tuple = as_tuple
        self.states: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        """Return a part of this module, or what the block has under the name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["block"], name)

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
        out = hidden_states if self.states is None else self.states
        return (out,) if self.as_tuple else out


class FrozenPrefix:
    """Stored outputs of the lowest `depth` blocks for N rows: flat (sum of lengths, H), cut by `offsets`."""

    def __init__(self, module: nn.Module, blocks: Sequence[str], depth: int) -> None:
        self.module, self.paths, self.depth = module, list(blocks[:depth]), depth
        self.originals = [module.get_submodule(path) for path in self.paths]
        self.as_tuple = False
        self.flat: Tensor | None = None
        self.offsets: np.ndarray | None = None
        self.replays: list[_Replay] = []

    def compute(
        self,
        offsets: np.ndarray,
        width: int,
        batches: Iterable[tuple[Any, dict[str, Tensor]]],
        forward: Callable[[dict[str, Tensor]], Any],
    ) -> None:
        """Run each batch once and keep the boundary states of its real tokens."""
        caught: list[Tensor] = []

        def catch(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self.as_tuple = isinstance(output, tuple)
            caught.append(output[0] if self.as_tuple else output)
            raise _Reached

        hook = self.originals[-1].register_forward_hook(catch)
        try:
            for rows, inputs in batches:
                try:
                    forward(inputs)
                except _Reached:
                    pass
                states = caught.pop().detach().cpu()
                if self.flat is None:
                    self.flat = _storage(int(offsets[-1]), width, states.dtype)
                mask = inputs["attention_mask"].cpu().bool()
                for place, row in enumerate(rows):
                    self.flat[offsets[row] : offsets[row + 1]] = states[place][mask[place]]
        finally:
            hook.remove()
        self.offsets = offsets

    def swap_in(self) -> None:
        """Put the replaying blocks in place of the frozen ones."""
        self.replays = [_Replay(block, self.as_tuple) for block in self.originals]
        self._place(self.replays)

    def swap_out(self) -> None:
        """Put the frozen blocks back."""
        self._place(self.originals)

    def load(self, rows: Any, mask: Tensor, device: torch.device) -> None:
        """Set the states that the next forward pass replays; `mask` (B, L) gives the padding."""
        if self.flat is None or self.offsets is None:
            raise RuntimeError("states are loaded before they are computed")
        states = torch.zeros(*mask.shape, self.flat.shape[1], dtype=self.flat.dtype)
        real = mask.cpu().bool()
        parts = [self.flat[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        states[real] = torch.cat(parts)
        # the whole chain of replaced blocks passes the states of the first one on
        self.replays[0].states = states.to(device)

    def _place(self, modules: Sequence[nn.Module]) -> None:
        for path, module in zip(self.paths, modules, strict=True):
            holder, _, name = path.rpartition(".")
            parent = self.module.get_submodule(holder)
            if isinstance(parent, nn.ModuleList):
                parent[int(name)] = module
            else:
                setattr(parent, name, module)


class _Reached(Exception):
    """The boundary was reached: the blocks above it need not run."""


def _storage(tokens: int, width: int, dtype: torch.dtype) -> Tensor:
    size = tokens * width * dtype.itemsize
    if size <= MEMORY_LIMIT:
        return torch.empty(tokens, width, dtype=dtype)
    # unlinked at once: the space is free again when the process ends, however it ends
    file = tempfile.NamedTemporaryFile(prefix="graftlm-states-", delete=True)
    file.truncate(size)
    flat = torch.from_file(file.name, shared=True, size=tokens * width, dtype=dtype)
    file.close()
    return flat.view(tokens, width)
