"""Methods: what trains and how. Each gives an Adaptation of the model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from graftlm.contracts.model import Model
from graftlm.core import registry
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graftlm.contracts.ground import Ground
    from graftlm.contracts.loss import Loss

Inner = Callable[[Any], float]
"""Adds the gradient of one effective batch to what the parameters hold; returns the mean loss. A wrap finds nothing
there: what an outer one left is put aside, and added afterwards."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A solved linear head: weight (C, D), bias (C,), as float32 arrays, and the strength that was chosen."""

    weight: Any
    bias: Any
    strength: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method may look at before training: facts, never the whole recipe.

    `limit` is the longest input in tokens, where it is known; `device` is what will train ("cpu", "cuda:0").
    `probe()` returns the linear solution on frozen features of the training rows (computed once and
    shared with the baseline), or None where the task has no such head.
    """

    task: Any
    space: Any
    optimizer: Any
    rows: int
    steps: int
    seed: int
    augmented: bool = False
    methods: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    limit: int | None = None
    device: str = "cpu"
    probe: Callable[[], Linear | None] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Update:
    """What a method sees after an update: its number from 0, and the learning rate it was made with.

    `rate(name)` is that of a parameter by name, schedule and multipliers in it; 0 for one that does not train.
    """

    step: int
    rate: Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What a method does to a model.

    `rates`: learning-rate multiplier by parameter name prefix; `rates_at(step)` gives multipliers that change
    with the step, for the same prefixes at each. `terms`: extra losses. `wrap(inner)`
    goes round the gradient of one effective batch. `after_update(update)` runs after each update, before
    gradients are cleared. `finish()` merges or averages at the end. `frozen` counts the lowest blocks
    that never change, the embeddings with them (0: the embeddings alone, None: nothing): they run in eval
    mode, and their outputs may be computed once. `solved` says
    that no gradient step is needed. `state` enters every checkpoint and joins the optimizer. `begin(ground)` runs once
    before the first step, when the model is as it trains. `settle()` puts in the weights that would be saved now, where
    these are not the ones that train (averages), and returns what puts the others back. `leave()` gives, with the best
    weights in the model and before anything is merged, tensors for later runs that name this one, as `method/name`.
    `perturbs` says that the
    outputs of the embeddings are changed, so that those of frozen blocks cannot be stored.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    rates_at: Callable[[int], Mapping[str, float]] | None = None
    terms: tuple[Loss, ...] = ()
    wrap: Callable[[Inner], Inner] | None = None
    after_update: Callable[[Update], None] | None = None
    finish: Callable[[], None] | None = None
    frozen: int | None = None
    solved: bool = False
    state: nn.Module | None = None
    begin: Callable[[Ground], None] | None = None
    settle: Callable[[], Callable[[], None]] | None = None
    leave: Callable[[], Mapping[str, Tensor]] | None = None
    perturbs: bool = False


class Method(Plugin):
    """Says what trains and how; applied in the order keeps, same, merges; `finish` in reverse.

    `layout`: "keeps" adds parameters that stay in the bundle, "same" leaves names and shapes as they
    are, "merges" adds parameters that `finish` folds away.
    """

    kind: ClassVar[str] = "method"
    layout: ClassVar[Literal["keeps", "same", "merges"]] = "same"
    sharded: ClassVar[bool] = False
    """Whether it works while parameters lie in shards over several processes: between `apply` and `finish` it looks at
    none of them."""
    other_text: ClassVar[bool] = False
    """Whether token ids beside those of the training rows reach the model (virtual tokens, replayed text)."""
    adapter: ClassVar[bool] = False
    """Whether it puts adapters into the layers: only one such method fits in a model."""
    freezes: ClassVar[bool] = False
    """Whether the matrices of the base's blocks stay as they are, all of them."""
    devices: ClassVar[tuple[str, ...]] = ()
    """Kinds of device that it trains on ("cuda"); empty: all."""
    averages: ClassVar[bool] = False
    """Whether other weights than those that train are judged and saved: only one such method fits in a run."""
    wants_start: ClassVar[bool] = False
    """Whether the model before any method changed it is kept for `Ground.start`."""
    when: ClassVar[str] = ""
    """One sentence: when to use it, and which neighbour to prefer otherwise."""

    def refuses(self, model: Model, setting: Setting) -> str | None:
        """Return why this method cannot be used here, or None."""
        return None

    @abstractmethod
    def apply(self, model: Model, setting: Setting) -> Adaptation:
        """Change the model in place (freeze, wrap, add parameters) and say what training must know."""


def start_head(model: Model, setting: Setting) -> bool:
    """Put the probe's solution into the model's head; return whether there was one."""
    import torch

    solution = setting.probe() if model.head is not None else None
    if model.head is None or solution is None:
        return False
    head = model.module.get_submodule(model.head)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(solution.weight))  # type: ignore[operator]
        if head.bias is not None:
            head.bias.copy_(torch.as_tensor(solution.bias))  # type: ignore[operator]
    return True


def train_head_alone(model: Model, setting: Setting, solved: bool) -> None:
    """Freeze everything but the head, which starts from the probe's solution where `solved` is set."""
    if solved:
        start_head(model, setting)
    model.module.requires_grad_(False)
    if model.head is not None:
        model.module.get_submodule(model.head).requires_grad_(True)


def start_plain_head(model: Model, setting: Setting) -> None:
    """Start the head from the probe's solution, unless another method of the recipe says how it starts."""
    others = [registry.load("method", name).model_fields for name in setting.methods]
    if not any("head" in fields for fields in others):
        start_head(model, setting)


def one_average(method: Method, setting: Setting) -> str | None:
    """Return why a method that averages the weights cannot be used beside the others, or None."""
    for name in setting.methods:
        if name != method.name() and getattr(registry.load("method", name), "averages", False):
            return f"only one average of the weights can be saved, and the recipe has '{name}' too"
    return None


def other_device(method: Method, setting: Setting) -> str | None:
    """Return why a method cannot be used on the device that will train, or None."""
    kinds = method.devices
    if not kinds or setting.device.partition(":")[0] in kinds:
        return None
    return f"it trains on {' or '.join(kinds)} alone, and this run trains on {setting.device}"


def frozen_base(setting: Setting) -> str | None:
    """Return why a method that acts on the base's own weights has nothing to do beside the others, or None."""
    for name in setting.methods:
        if getattr(registry.load("method", name), "layout", "same") != "same":
            return f"'{name}' freezes the base, so that its weights do not move; take one of the two"
    return None


def trainable(module: nn.Module) -> Iterable[tuple[str, Any]]:
    """Yield the names and parameters that train."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


__all__ = [
    "Adaptation",
    "Inner",
    "Linear",
    "Method",
    "Setting",
    "Update",
    "frozen_base",
    "one_average",
    "other_device",
    "start_head",
    "start_plain_head",
    "trainable",
]
