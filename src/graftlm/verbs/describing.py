"""Everything that a plug-in says of itself: what it does, where it comes from, and its fields."""

from __future__ import annotations

import inspect
import types
from dataclasses import asdict, dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from graftlm.core import registry
from graftlm.core.plugin import Plugin

BOUNDS = {"gt": "> {}", "ge": ">= {}", "lt": "< {}", "le": "<= {}", "min_length": "at least {} long"}


@dataclass(frozen=True, slots=True)
class Field:
    """One option: its type in words, its bounds, its default in JSON types, and what it does."""

    name: str
    type: str
    bounds: tuple[str, ...]
    required: bool
    default: Any
    about: str


@dataclass(frozen=True, slots=True)
class Description:
    """One plug-in, described from its own file: nothing here is kept by hand."""

    kind: str
    name: str
    summary: str
    about: str
    when: str
    source: str
    facts: dict[str, Any]
    fields: tuple[Field, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def describe(kind: str, name: str) -> Description:
    """Describe one plug-in.

    Raises:
        UserError: there is no such kind or name; the message suggests the nearest one.
    """
    kind = registry.kind_named(kind)
    plugin = registry.load(kind, name)
    return Description(
        kind=kind,
        name=name,
        summary=registry.summary(kind, name),
        about=inspect.cleandoc(plugin.__doc__ or ""),
        when=str(getattr(plugin, "when", "")),
        source=plugin.source,
        facts=_facts(plugin),
        fields=tuple(_field(key, info) for key, info in plugin.model_fields.items()),
    )


def _facts(plugin: type[Plugin]) -> dict[str, Any]:
    """Return the class facts that its contract declares, as far as they are plain values."""
    found: dict[str, Any] = {}
    for key in sorted(plugin.__class_vars__ - {"kind", "source", "when"}):
        value = getattr(plugin, key, None)
        if isinstance(value, set | frozenset):
            value = sorted(map(str, value))
        if isinstance(value, tuple):
            value = [getattr(item, "name", item) for item in value]
        if isinstance(value, bool | int | float | str) or (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            found[key] = value
    return found


def _field(name: str, info: FieldInfo) -> Field:
    bounds = [
        text.format(getattr(mark, key)) for mark in info.metadata for key, text in BOUNDS.items() if hasattr(mark, key)
    ]
    default = None if info.is_required() else info.get_default(call_default_factory=True)  # type: ignore[call-arg]
    return Field(
        name=name,
        type=type_text(info.annotation),
        bounds=tuple(bounds),
        required=info.is_required(),
        default=default.as_use() if isinstance(default, Plugin) else _plain(default),
        about=" ".join((info.description or "").split()),
    )


def _plain(value: Any) -> Any:
    """Return a default in JSON types."""
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def type_text(annotation: Any) -> str:
    """Return a type as people write it: `'mean' | 'cls' | None`, `list[str]`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(repr(item) for item in inner)
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(item) for item in inner)
    if annotation is type(None):
        return "None"
    if hasattr(annotation, "__metadata__"):  # Annotated[...]
        return type_text(inner[0])
    if origin is not None:
        return f"{type_text(origin)}[{', '.join('...' if item is Ellipsis else type_text(item) for item in inner)}]"
    return str(getattr(annotation, "__name__", annotation))
