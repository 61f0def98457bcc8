"""Models beside the one in training, which never change: the base as it was, an earlier run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Aside(nn.Module):
    """Holds frozen models out of sight: they are neither trained nor written into checkpoints."""

    between_updates = True

    models: tuple[nn.Module, ...]
    live: nn.Module | None

    def __init__(self, *models: nn.Module, live: nn.Module | None = None) -> None:
        """Hold models; `live` is one whose base is that of the model in training, and is not touched."""
        super().__init__()
        self.__dict__["models"] = tuple(model.requires_grad_(False).eval() for model in models)
        self.__dict__["live"] = live

    def _apply(self, change: Any, recurse: bool = True) -> Aside:
        """Move the models to another device with this one."""
        for model in (*self.models, *([] if self.live is None else [self.live])):
            model._apply(change, recurse)
        return super()._apply(change, recurse)

    def answer(self, look: Any, number: int = 0, inputs: Mapping[str, Tensor] | None = None) -> Any:
        """Return what a model gives for the batch, without gradient."""
        with torch.no_grad():
            return look.run(self.models[number], look.batch.inputs if inputs is None else inputs)


def pretrained(module: nn.Module, head: str | None, start: nn.Module | None) -> nn.Module:
    """Return the model before any method changed it, with the head as training starts it, in eval mode."""
    teacher = copy.deepcopy(module if start is None else start)
    if start is not None and head is not None:
        ours, theirs = module.get_submodule(head), teacher.get_submodule(head)
        known = {name: tensor for name, tensor in ours.state_dict().items() if name in theirs.state_dict()}
        if len(known) == len(theirs.state_dict()):
            theirs.load_state_dict(known)
    return teacher.requires_grad_(False).eval()


def with_base(old: nn.Module, base: str, live: nn.Module) -> nn.Module:
    """Return a model whose base is another's: what its head says of the weights in training. Its own parts freeze."""
    old.requires_grad_(False)
    old.set_submodule(base, live)
    return old
