"""References to plug-ins inside a recipe: a name, or `{use: name, field: value}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, ValidationError, WithJsonSchema

from graftlm.core import registry
from graftlm.core.errors import UserError, listing, near
from graftlm.core.plugin import Plugin


def reference(kind: str) -> Any:
    """Return the annotated type of a field that holds a plug-in of a kind."""

    def build(given: Any) -> Plugin:
        try:
            plugin: Plugin = registry.make(kind, given)
            return plugin
        except ValidationError as fault:
            name = given if isinstance(given, str) else given.get("use")
            known = registry.load(kind, name).model_fields
            parts = [_sentence(name, kind, item, list(known)) for item in fault.errors()]
            raise ValueError(" ".join(parts)) from None
        except UserError as fault:
            raise ValueError(str(fault)) from None

    return Annotated[
        InstanceOf[Plugin],
        BeforeValidator(build),
        PlainSerializer(lambda plugin: plugin.as_use(), return_type=dict[str, Any]),
        WithJsonSchema({"x-kind": kind, "anyOf": [{"type": "string"}, {"type": "object"}]}),
    ]


def _sentence(name: str, kind: str, item: Any, known: list[str]) -> str:
    field = ".".join(map(str, item["loc"])) or "(whole)"
    if item["type"] == "extra_forbidden":
        return f"{kind} '{name}' has no field '{field}'.{near(field, known)} Fields: {listing(known, 20)}."
    return f"{kind} '{name}', field '{field}': {item['msg']}; got {item['input']!r}."


if TYPE_CHECKING:
    from graftlm.contracts.augmentation import Augmentation as AugmentationRef
    from graftlm.contracts.backbone import Backbone as BackboneRef
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
    "LossRef",
    "MethodRef",
    "OptimizerRef",
    "ReaderRef",
    "TaskRef",
    "reference",
]
