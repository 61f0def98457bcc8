"""The JSON schema of a recipe, with the fields of every plug-in, for editors and for other programs."""

from __future__ import annotations

from typing import Any

from graftlm.core import registry
from graftlm.recipe import Recipe

MARK = "x-kind"
"""What a reference to a plug-in carries in the schema of the recipe."""


def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of a recipe file.

    A place that takes a plug-in is a `oneOf`: the bare name, or one mapping for each plug-in of the kind.
    """
    tree = Recipe.model_json_schema(mode="validation")
    definitions: dict[str, Any] = tree.setdefault("$defs", {})
    wanted: list[str] = []
    body = _point(tree, wanted)
    done: dict[str, Any] = {}
    while missing := [kind for kind in wanted if kind not in done]:
        for kind in missing:
            done[kind] = _of_kind(kind, definitions, wanted)
    body["$defs"] = {**_point(definitions, wanted), **{f"plugin-{kind}": value for kind, value in done.items()}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body}


def _of_kind(kind: str, definitions: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [{"enum": registry.names(kind), "description": f"The name of a {kind}."}]
    for name in registry.names(kind):
        own = registry.load(kind, name).model_json_schema(mode="validation")
        definitions.update(own.pop("$defs", {}))
        own = _point(own, wanted)
        choices.append(
            {
                "type": "object",
                "title": name,
                "description": registry.summary(kind, name),
                "properties": {"use": {"const": name}, **own.get("properties", {})},
                "required": ["use", *own.get("required", [])],
                "additionalProperties": False,
            }
        )
    return {"title": kind, "oneOf": choices}


def _point(node: Any, wanted: list[str]) -> Any:
    """Replace each marked place with a reference to its kind, and let one plug-in stand for a list of one."""
    if isinstance(node, list):
        return [_point(item, wanted) for item in node]
    if not isinstance(node, dict):
        return node
    if MARK in node:
        kind = node[MARK]
        if kind not in wanted:
            wanted.append(kind)
        kept = {key: node[key] for key in ("title", "description", "default") if key in node}
        return {"$ref": f"#/$defs/plugin-{kind}", **kept}
    inner = {key: _point(value, wanted) for key, value in node.items()}
    items = node.get("items")
    if node.get("type") == "array" and isinstance(items, dict) and MARK in items:
        rest = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
        return {"anyOf": [inner["items"], inner], **rest}
    return inner
