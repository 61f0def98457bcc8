"""How the loop holds its tensors: each whole. A loop over shards holds them otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Held:
    """The model, the run objects and what trains of them."""

    module: nn.Module
    states: nn.ModuleDict
    trainable: list[Tensor]
    device: torch.device

    def place(self) -> None:
        """Put the model on the device."""
        self.module.to(self.device)

    def norm(self) -> Tensor:
        """Return the norm of the gradient."""
        return torch.nn.utils.get_total_norm([p.grad for p in self.trainable if p.grad is not None])

    def common(self) -> list[Tensor]:
        """Return what must be the same in all processes."""
        return [*self.trainable, *self.module.buffers(), *self.states.buffers()]

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a tensor as a snapshot keeps it."""
        return tensor

    def put(self, target: Tensor, value: Tensor) -> None:
        """Write what a snapshot kept into a tensor."""
        target.copy_(value)

    def cut(self, value: Tensor, parameter: Tensor) -> Tensor:
        """Return what the optimizer holds of a snapshot's state of a parameter."""
        return value

    def unite(self) -> None:
        """Put the model together, now that training is over."""
