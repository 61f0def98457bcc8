"""Perturbing what the word embedding gives: one perturbation for each forward pass of a step, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

Edit = Callable[[Tensor, Tensor], Tensor]
"""Takes the embeddings (B, L, H) and which tokens are real (B, L); returns the embeddings to go on with."""


_depth: ContextVar[int] = ContextVar("depth", default=0)


@contextmanager
def untouched() -> Iterator[None]:
    """While in the block, passes are not seen by the edits that began outside: it is no pass of their step."""
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)


def apart() -> bool:
    """Tell whether this is such a block."""
    return _depth.get() > 0


@contextmanager
def edited(module: nn.Module, edit: Edit) -> Iterator[None]:
    """While in the block, the outputs of the word embedding below `module` pass through `edit`.

    The lookup is made afresh in each block: the embedding may be swapped for a smaller one while training. Padding is
    what the attention mask of the call says.
    """
    given: dict[str, Any] = {}
    depth = _depth.get()

    def hear(_module: nn.Module, _args: Any, kwargs: Mapping[str, Any]) -> None:
        given.clear()
        given.update(kwargs)

    def change(_module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return edit(output, _real(args[0], given)) if _depth.get() == depth else output

    hooks = [
        module.register_forward_pre_hook(hear, with_kwargs=True),
        word_embedding(module).register_forward_hook(change),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def word_embedding(module: nn.Module) -> nn.Module:
    """Return the input embedding of the outermost Transformers model below `module`, as it stands now."""
    part: Any
    for part in module.modules():
        if hasattr(part, "get_input_embeddings"):
            found: nn.Module = part.get_input_embeddings()
            return found
    raise ValueError(f"{type(module).__name__} holds no model of Transformers")


def _real(ids: Tensor, given: Mapping[str, Any]) -> Tensor:
    for part in ("", "decoder_"):
        own, mask = given.get(f"{part}input_ids"), given.get(f"{part}attention_mask")
        if own is not None and mask is not None and own.data_ptr() == ids.data_ptr() and mask.shape == ids.shape:
            return mask.bool()
    return torch.ones_like(ids, dtype=torch.bool)


class Deltas:
    """What is added to the embeddings in each forward pass of a step, and the gradient that arrived there.

    `first(embeddings, real)` gives the perturbation that a pass begins with, `None` zeros.
    """

    def __init__(self, first: Edit | None = None) -> None:
        self.first = first
        self.values: list[Tensor] = []
        self.real: list[Tensor] = []
        self.place = 0

    def __call__(self, output: Tensor, real: Tensor) -> Tensor:
        """Add the perturbation of the next pass to the embeddings; passes without gradient are left alone."""
        if not torch.is_grad_enabled():
            return output
        if self.place == len(self.values):
            start = torch.zeros_like(output) if self.first is None else self.first(output.detach(), real)
            self.values.append(start.detach().requires_grad_())
            self.real.append(real.unsqueeze(-1))
        self.place += 1
        return output + self.values[self.place - 1]

    def gradients(self) -> list[Tensor]:
        """Return the gradient of each perturbation (B, L, H), zero at padding and where none arrived."""
        return [
            torch.zeros_like(value) if value.grad is None else value.grad.masked_fill(~real, 0.0)
            for value, real in zip(self.values, self.real, strict=True)
        ]

    def rewind(self, values: list[Tensor], *, last: bool) -> None:
        """Set the perturbations for the passes to come, which begin at the first again; `last`: no gradient needed."""
        self.values = [value.detach().requires_grad_(not last) for value in values]
        self.place = 0


def sizes(values: Tensor) -> Tensor:
    """Return the Euclidean norm of each sequence's perturbation (B, L, H) as (B, 1, 1), never zero."""
    return values.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1)


def directions(values: list[Tensor]) -> list[Tensor]:
    """Return each sequence's perturbation at norm one."""
    return [value / sizes(value) for value in values]


def within(value: Tensor, radius: float) -> Tensor:
    """Return each sequence's perturbation, shortened to a norm of `radius` where it is longer."""
    return value * (radius / sizes(value)).clamp_max(1.0)


@contextmanager
def same_draws(device: torch.device) -> Iterator[Callable[[], None]]:
    """Yield what sets torch's generators back to where the block began: the same dropout masks once more."""
    drawn = torch.get_rng_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again() -> None:
        torch.set_rng_state(drawn)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)

    yield again
