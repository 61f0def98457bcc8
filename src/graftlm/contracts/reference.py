"""References to plug-ins inside a recipe: a name, or `{use: name, field: value}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, ValidationError, WithJsonSchema

from graftlm.core import registry
from graftlm.core.errors import UserError, listing, near
from graftlm.core.plugin import Plugin


def reference(kind: str, named: Callable[[str], Any] = lambda name: name) -> Any:
    """Return the annotated type of a field that holds a plug-in of a kind; `named(text)` says what a bare name is."""

    def build(given: Any) -> Plugin:
        try:
            given = named(given) if isinstance(given, str) else given
            plugin: Plugin = registry.make(kind, given)
            return plugin
        except ValidationError as fault:
            name = given if isinstance(given, str) else given.get("use")
            known = registry.load(kind, name).model_fields
            parts = [_sentence(name, kind, item, known) for item in fault.errors()]
            raise ValueError(" ".join(parts)) from None
        except UserError as fault:
            raise ValueError(str(fault)) from None

    return Annotated[
        InstanceOf[Plugin],
        BeforeValidator(build),
        PlainSerializer(lambda plugin: plugin.as_use(), return_type=dict[str, Any]),
        WithJsonSchema({"x-kind": kind, "anyOf": [{"type": "string"}, {"type": "object"}]}),
    ]


def base_use(name: str | Path) -> dict[str, Any]:
    """Return the recipe form of a base model told by one name: embedded, a folder or of the Hub, by who claims it.

    Raises:
        UserError: nobody does.
    """
    best: tuple[float, str, dict[str, Any]] | None = None
    for each in registry.names("backbone"):
        plugin: Any = registry.load("backbone", each)
        claim = plugin.claims(str(name))
        if claim > 0 and (best is None or claim > best[0]):
            best = (claim, each, plugin.named(str(name)))
    if best is None:
        raise UserError(f"No backbone understands the base model '{name}'. See: graft list backbone")
    return {"use": best[1], **best[2]}


def _sentence(name: str, kind: str, item: Any, known: Mapping[str, Any]) -> str:
    field = ".".join(map(str, item["loc"])) or "(whole)"
    if item["type"] == "extra_forbidden":
        return f"{kind} '{name}' has no field '{field}'.{near(field, list(known))} Fields: {listing(list(known), 20)}."
    if item["type"] == "missing" and field in known:
        about = " ".join((known[field].description or "").split()).rstrip(".")
        return f"{kind} '{name}' needs the field '{field}', which was not given ({about})."
    return f"{kind} '{name}', field '{field}': {item['msg']}; got {item['input']!r}."


if TYPE_CHECKING:
    from graftlm.contracts.augmentation import Augmentation as AugmentationRef
    from graftlm.contracts.backbone import Backbone as BackboneRef
    from graftlm.contracts.backbone import Backbone as CheckpointRef
    from graftlm.contracts.balancer import Balancer as BalancerRef
    from graftlm.contracts.baseline import Baseline as BaselineRef
    from graftlm.contracts.loss import Loss as LossRef
    from graftlm.contracts.method import Method as MethodRef
    from graftlm.contracts.optimizer import Optimizer as OptimizerRef
    from graftlm.contracts.reader import Reader as ReaderRef
    from graftlm.contracts.task import Task as TaskRef
else:
    ReaderRef = reference("reader")
    AugmentationRef = reference("augmentation")
    BackboneRef = reference("backbone")
    CheckpointRef = reference("backbone", base_use)  # a bare name is what --base takes
    TaskRef = reference("task")
    MethodRef = reference("method")
    LossRef = reference("loss")
    OptimizerRef = reference("optimizer")
    BalancerRef = reference("balancer")
    BaselineRef = reference("baseline")

__all__ = [
    "AugmentationRef",
    "BackboneRef",
    "BalancerRef",
    "BaselineRef",
    "CheckpointRef",
    "LossRef",
    "MethodRef",
    "OptimizerRef",
    "ReaderRef",
    "TaskRef",
    "base_use",
    "reference",
]
