"""One backbone under several heads: models of several tasks that share the base model object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def key(name: str) -> str:
    """Return what a task is called inside modules, whose own methods (`type`, `items`) would else be in the way."""
    return f"of {name}"


class SeveralModel(nn.Module):
    """The models of several tasks, by name, over one base; a call goes to the one that is `current`.

    `heads` holds each model's last linear layer once more, so that methods find all of them under one path.
    """

    def __init__(self, models: Mapping[str, nn.Module], heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict({key(name): module for name, module in models.items()})
        self.heads = nn.ModuleDict({key(name): module for name, module in heads.items()})
        self.current = next(iter(models))

    @property
    def config(self) -> Any:
        """Return the configuration of the shared base."""
        return next(iter(self.tasks.values())).config

    def answer_as(self, name: str) -> None:
        """Let the next calls go to one task's model."""
        self.current = name

    def forward(self, **inputs: Any) -> Any:
        """Return what the current task's model gives."""
        return self.tasks[key(self.current)](**inputs)


def share(module: nn.Module, path: str, base: nn.Module) -> None:
    """Put a shared base in the place of a model's own, which must have the same parameters.

    Raises:
        ValueError: they are not of one architecture, or the model has no part that is its base.
    """
    if not path:
        raise ValueError("its model has no part without a head that others could share")
    own = module.get_submodule(path)
    shapes = {name: p.shape for name, p in base.named_parameters()}
    other = {name: p.shape for name, p in own.named_parameters()}
    if type(own) is not type(base) or shapes != other:
        odd = sorted(set(shapes.items()) ^ set(other.items()))
        raise ValueError(f"the models are not of one architecture: {odd[0][0] if odd else type(own).__name__}")
    parent, _, child = path.rpartition(".")
    setattr(module.get_submodule(parent), child, base)
    tie: Any = getattr(module, "tie_weights", None)
    if tie is not None:  # an output layer that is the embedding table is the shared one's from here on
        tie()


def own_tensors(module: nn.Module, path: str) -> dict[str, Tensor]:
    """Return the tensors of a model that its base at `path` does not hold, by their names in the whole."""
    inside = {id(tensor) for tensor in module.get_submodule(path).state_dict(keep_vars=True).values()}
    state = module.state_dict(keep_vars=True)
    return {
        name: tensor.detach()
        for name, tensor in state.items()
        if not name.startswith(f"{path}.") and id(tensor) not in inside
    }
