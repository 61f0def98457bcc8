"""Numbers of a balancer that Adam moves apart from the model: at a step size of their own, whatever trains the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stepping(nn.Module):
    """One number for each name, float64, with Adam's moments (Kingma & Ba 2015, algorithm 1): all in checkpoints."""

    value: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor

    def __init__(self, names: list[str], start: float = 0.0) -> None:
        super().__init__()
        self.names = names
        self.register_buffer("value", torch.full((len(names),), start, dtype=torch.float64))
        for name in ("first", "second"):
            self.register_buffer(name, torch.zeros(len(names), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def move(self, slope: Tensor, rate: float) -> None:
        """Make one step of Adam against a slope (K,), with betas 0.9 and 0.999."""
        slope = slope.to(self.value)
        self.steps += 1
        self.first.lerp_(slope, 0.1)
        self.second.lerp_(slope**2, 0.001)
        steps = int(self.steps)
        first, second = self.first / (1 - 0.9**steps), self.second / (1 - 0.999**steps)
        self.value.sub_(rate * first / (second.sqrt() + 1e-8))
