"""Working vocabulary: while training, only the embedding rows that the training text uses are parameters.

Exact for element-wise optimizers without weight decay on embeddings: a row whose gradient was always
zero never moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class _Aside:
    """Holds the full table out of sight of `parameters()`; copies of a model share it."""

    def __init__(self, table: nn.Embedding) -> None:
        self.table = table

    def __deepcopy__(self, memo: dict[int, object]) -> _Aside:
        return self


class WorkingEmbedding(nn.Module):
    """Takes the place of an `nn.Embedding`: token ids stay what they are.

    `weight` (K, H) holds the rows in use; ids outside them read the full table, which gets no gradient.
    """

    def __init__(self, full: nn.Embedding, ids: np.ndarray) -> None:
        super().__init__()
        kept = torch.as_tensor(ids, dtype=torch.long, device=full.weight.device)
        self.aside = _Aside(full)
        self.kept = kept
        index = torch.full((full.num_embeddings,), -1, dtype=torch.long, device=full.weight.device)
        index[kept] = torch.arange(len(kept), device=full.weight.device)
        self.index = index
        self.weight = nn.Parameter(full.weight.detach()[kept].clone(), requires_grad=full.weight.requires_grad)
        self.padding_idx = None if full.padding_idx is None else int(index[full.padding_idx])
        if self.padding_idx is not None and self.padding_idx < 0:
            self.padding_idx = None

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows (..., H) of the ids."""
        rows = self.index[ids]
        unknown = rows < 0
        out = functional.embedding(rows.clamp(min=0), self.weight, self.padding_idx)
        if bool(unknown.any()):
            table = self.aside.table.weight.detach()
            out = torch.where(unknown.unsqueeze(-1), functional.embedding(ids, table).to(out.dtype), out)
        return out

    def restored(self) -> nn.Embedding:
        """Scatter the rows back and return the full table."""
        full = self.aside.table
        with torch.no_grad():
            full.weight[self.kept] = self.weight.detach().to(full.weight.dtype)
        return full


def swap_in(module: nn.Module, ids: np.ndarray) -> list[tuple[nn.Module, str]]:
    """Replace the input embedding of a Transformers model below `module`; return where."""
    table = input_embedding(module)
    if table is None:
        return []
    swapped = []
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if child is table:
                swapped.append((parent, name))
    working = WorkingEmbedding(table, ids)
    for parent, name in swapped:
        setattr(parent, name, working)
    return swapped


def swap_out(swapped: list[tuple[nn.Module, str]]) -> None:
    """Put the full table back, with the trained rows in it."""
    for parent, name in swapped:
        working = getattr(parent, name)
        if isinstance(working, WorkingEmbedding):
            setattr(parent, name, working.restored())


def input_embedding(module: nn.Module) -> nn.Embedding | None:
    """Return the input embedding of the outermost Transformers model below `module`."""
    for part in module.modules():
        if hasattr(part, "get_input_embeddings"):
            table: Any = part.get_input_embeddings()  # type: ignore[operator]
            return table if type(table) is nn.Embedding else None
    return None
