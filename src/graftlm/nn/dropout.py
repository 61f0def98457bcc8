"""Dropout whose masks are slices of one long random tape: the same regulariser, most of its cost gone.

A tape of scaled zeros and ones is drawn every few steps from random bytes; each dropout takes a slice
at a random offset. One byte decides about an element, so the probability is rounded to 1/256; the scale
1/(1 - p) uses the rounded value, so expectations stay exact. Everything is a function of (seed, step):
nothing has to be saved for an exact resume.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

SHORTEST = 1 << 22
"""Elements on a tape, at least: several times what one dropout of a usual batch needs."""
STEPS = 16
"""Steps that one tape serves."""


class MaskTape:
    """Masks for dropout, already scaled by 1/(1 - p); call `begin` before each step."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drawn = -1
        self.begin(0)

    def begin(self, step: int, part: int = 0) -> None:
        """Start the stream of a step; `part` tells processes and micro-batches apart."""
        if step // STEPS != self.drawn:
            self.drawn = step // STEPS
            self.tapes: dict[tuple[int, int, torch.dtype, torch.device], Tensor] = {}
        self.offsets = random.Random(f"{self.seed}:{step}:{part}")  # noqa: S311

    def __deepcopy__(self, memo: dict[int, object]) -> MaskTape:
        """Return the tape itself: copies of a model, made to judge it, draw no masks."""
        return self

    def mask(self, like: Tensor, probability: float) -> Tensor:
        """Return a mask of the shape and type of `like`: 0 with the probability, else 1 / (1 - p)."""
        threshold, count = round(probability * 256), like.numel()
        size = SHORTEST
        while size < 2 * count:
            size *= 2
        # the size is part of the key: what a mask holds must not depend on which larger ones came before it
        key = (threshold, size, like.dtype, like.device)
        tape = self.tapes.get(key)
        if tape is None:
            tape = self.tapes[key] = self._draw(threshold, size, like)
        # offsets in whole cache lines, so that slices stay aligned
        start = 64 * self.offsets.randrange((len(tape) - count) // 64 + 1)
        return tape[start : start + count].view(like.shape)

    def _draw(self, threshold: int, count: int, like: Tensor) -> Tensor:
        generator = torch.Generator()
        generator.manual_seed(hash((self.seed, self.drawn, threshold, count)) & ((1 << 63) - 1))
        words = torch.empty((count + 7) // 8, dtype=torch.int64)
        # the full 64-bit range, so that each of the eight bytes is uniform
        words.random_(torch.iinfo(torch.int64).min, None, generator=generator)
        kept = words.view(torch.uint8)[:count] >= threshold
        return kept.to(like.device, like.dtype).mul_(256 / (256 - threshold))


class TapeDropout(nn.Module):
    """Takes the place of `nn.Dropout` while training."""

    def __init__(self, probability: float, tape: MaskTape) -> None:
        super().__init__()
        self.p = probability
        self.tape = tape

    def forward(self, x: Tensor) -> Tensor:
        """Return dropout of `x` in training mode, `x` otherwise."""
        return x * self.tape.mask(x, self.p) if self.training and 1 / 512 < self.p < 1 else x


def swap_in(module: nn.Module, tape: MaskTape) -> list[tuple[nn.Module, str, nn.Dropout]]:
    """Replace every `nn.Dropout` below `module`; return what `swap_out` needs to put them back."""
    swapped = []
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, TapeDropout(child.p, tape).train(child.training))
                swapped.append((parent, name, child))
    return swapped


def swap_out(swapped: list[tuple[nn.Module, str, nn.Dropout]]) -> None:
    """Put the plain dropouts back."""
    for parent, name, child in swapped:
        setattr(parent, name, child.train(parent.training))


class Draws:
    """Where the random streams stood when a pass began: on the tape, and in torch's generators."""

    def __init__(self, tape: MaskTape, device: torch.device) -> None:
        self.tape, self.device = tape, device
        self.tape_state, self.drawn = self._now()

    def _now(self) -> tuple[Any, tuple[Tensor, Tensor | None]]:
        on_device = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return self.tape.offsets.getstate(), (torch.get_rng_state(), on_device)

    def _set(self, state: tuple[Any, tuple[Tensor, Tensor | None]]) -> None:
        offsets, (drawn, on_device) = state
        self.tape.offsets.setstate(offsets)
        torch.set_rng_state(drawn)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, self.device)

    @contextmanager
    def first_again(self) -> Iterator[None]:
        """While in the block, the streams run as they did then; after it they go on where they were."""
        now = self._now()
        self._set((self.tape_state, self.drawn))
        try:
            yield
        finally:
            self._set(now)
