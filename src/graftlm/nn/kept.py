"""Tensors kept beside the parameters they belong to: averages, anchors, importances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from graftlm.nn.vocabulary import WorkingEmbedding


class Kept(nn.Module):
    """Tensors by the name of a parameter, in every checkpoint unless `saved` is false.

    They change after an update, never in the gradient, so that a step which is taken back has nothing to put back.
    """

    between_updates = True

    def __init__(
        self, tensors: Mapping[str, Tensor] | None = None, *, saved: bool = True, lasting: bool = False
    ) -> None:
        """Keep tensors; `lasting`: gathered over the whole run, they do not go back to where the best weights were."""
        super().__init__()
        self.lasting = lasting
        self.saved = saved
        if tensors:
            self.keep(tensors)

    def keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep these tensors under these names."""
        for name, tensor in tensors.items():
            self.register_buffer(name.replace(".", "/"), tensor, persistent=self.saved)

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """Yield names and tensors, in the order they were given."""
        return ((name.replace("/", "."), tensor) for name, tensor in self.named_buffers())

    def of(self, names: Iterable[str]) -> list[Tensor]:
        """Return the tensors of these parameters."""
        return [self.get_buffer(name.replace(".", "/")) for name in names]


def moving(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that train, by name, each once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def working_rows(module: nn.Module, name: str) -> Tensor | None:
    """Return which rows of the full table a parameter holds, None where it holds them all."""
    holder = module.get_submodule(name.rpartition(".")[0])
    return holder.kept if isinstance(holder, WorkingEmbedding) else None


def anchors(module: nn.Module, base: str, head: str | None, start: nn.Module | None) -> dict[str, Tensor]:
    """Return the pretrained tensors of the base's parameters that train, by name, without gradient.

    `start` is the model before any method changed it; without it the parameters as they are now count as pretrained.
    Left out is what has no pretrained value: the head, adapters, what a method set anew. A table of which only the
    rows in use train is cut to these.
    """
    given = dict(start.named_parameters()) if start is not None else None
    found = {}
    for name, parameter in moving(module).items():
        if not name.startswith(f"{base}.") or (head is not None and name.startswith(f"{head}.")):
            continue
        if given is None:
            found[name] = parameter.detach().clone()
            continue
        if name not in given:
            continue
        rows = working_rows(module, name)
        first = given[name].detach().to(parameter.device)
        first = first if rows is None else first[rows]
        if first.shape == parameter.shape and torch.equal(first.to(parameter.dtype), parameter.detach()):
            found[name] = first
    return found


def exchange(parameters: Iterable[Tensor], values: Iterable[Tensor]) -> Callable[[], None]:
    """Copy values into parameters; return what copies the old ones back."""
    kept = list(parameters)
    old = [parameter.detach().clone() for parameter in kept]

    def put(tensors: Iterable[Tensor]) -> None:
        with torch.no_grad():
            for parameter, tensor in zip(kept, tensors, strict=True):
                parameter.copy_(tensor)

    put(values)
    return lambda: put(old)


class Counter(nn.Module):
    """Counts updates; the number is in every checkpoint."""

    between_updates = True

    def __init__(self, *, lasting: bool = False) -> None:
        """Begin at zero; `lasting` as of what is kept."""
        super().__init__()
        self.lasting = lasting
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def done(self) -> int:
        """Return how many updates are done."""
        return int(self.get_buffer("updates"))

    def count(self, update: object) -> None:
        """Count one more."""
        self.get_buffer("updates").add_(1)


def outside_square(module: nn.Module, name: str) -> float:
    """Return the sum of squares of a full table's rows that are not in the parameter, 0 for any other parameter."""
    holder = module.get_submodule(name.rpartition(".")[0])
    if not isinstance(holder, WorkingEmbedding):
        return 0.0
    table = holder.aside.table.weight.detach()
    return float(table.float().square().sum() - table[holder.kept].float().square().sum())


def full_size(module: nn.Module, name: str) -> int:
    """Return the entries of a parameter, of a table's rows that are not in it too."""
    holder = module.get_submodule(name.rpartition(".")[0])
    table = holder.aside.table.weight if isinstance(holder, WorkingEmbedding) else module.get_parameter(name)
    return table.numel()


@contextmanager
def resting(module: nn.Module) -> Iterator[None]:
    """While in the block, every part of the module is in eval mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
