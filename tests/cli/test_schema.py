"""graft schema: the recipe's JSON schema with the fields of every plug-in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from graftlm.cli.main import main
from graftlm.core import registry
from graftlm.recipe import Recipe


@pytest.fixture(scope="module")
def tree():
    from graftlm.verbs.schema import schema

    return schema()


def fits(value: Any, node: dict[str, Any], tree: dict[str, Any]) -> bool:
    """Check a value against the part of JSON Schema that the tree uses."""
    if "$ref" in node:
        return fits(value, tree["$defs"][node["$ref"].removeprefix("#/$defs/")], tree)
    if "anyOf" in node:
        return any(fits(value, each, tree) for each in node["anyOf"])
    if "oneOf" in node:
        return sum(fits(value, each, tree) for each in node["oneOf"]) == 1
    if "const" in node:
        return value == node["const"]
    if "enum" in node:
        return value in node["enum"]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kind = node.get("type")
    if kind in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, int if kind == "integer" else int | float):
            return False
        low, high = node.get("minimum", value), node.get("maximum", value)
        above = value > node.get("exclusiveMinimum", value - 1)
        return low <= value <= high and above and value < node.get("exclusiveMaximum", value + 1)
    if kind in kinds and not isinstance(value, kinds[kind]):
        return False
    if kind == "object":
        known = node.get("properties", {})
        if not set(node.get("required", ())) <= set(value):
            return False
        extra = node.get("additionalProperties", True)
        for key, inner in value.items():
            if key in known:
                if not fits(inner, known[key], tree):
                    return False
            elif extra is False or (isinstance(extra, dict) and not fits(inner, extra, tree)):
                return False
    if kind == "array":
        if "prefixItems" in node:
            return len(value) == len(node["prefixItems"]) and all(
                fits(inner, each, tree) for inner, each in zip(value, node["prefixItems"], strict=True)
            )
        return all(fits(inner, node.get("items", {}), tree) for inner in value)
    return True


def test_it_is_json_and_the_command_prints_it(tree, capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(tree))
    assert tree["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_reference_leads_somewhere(tree):
    text = json.dumps(tree)
    for name in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert name in tree["$defs"], name
    assert "x-kind" not in text


def test_every_key_of_a_recipe_and_every_field_of_its_plug_ins_is_there(tree):
    assert set(tree["properties"]) == set(Recipe.model_fields)
    for kind in ("task", "method", "backbone", "optimizer", "baseline", "reader"):
        names, *choices = tree["$defs"][f"plugin-{kind}"]["oneOf"]
        assert names["enum"] == registry.names(kind)
        assert [choice["properties"]["use"]["const"] for choice in choices] == registry.names(kind)
        for choice in choices:
            fields = registry.load(kind, choice["title"]).model_fields
            assert set(choice["properties"]) == {"use", *fields}


def test_what_a_recipe_writes_fits_its_own_schema(tree):
    assert fits(Recipe().as_json(), tree, tree)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"methods": "full"},
        {"methods": ["freeze"]},
        {"methods": {"use": "freeze", "layers": 4}},
        {"train": {"optimizer": {"use": "sgd", "momentum": 0.5}, "budget": "10m"}},
        {"backbone": {"use": "truncated", "of": "minilm", "keep": 3}},
        {"data": {"columns": {"text": "内容"}}},
    ],
)
def test_good_recipes_fit(tree, good):
    assert fits(good, tree, tree)
    Recipe.model_validate(good)


@pytest.mark.parametrize(
    "bad",
    [
        {"metods": "full"},
        {"methods": "fulll"},
        {"methods": [{"use": "freeze", "blocks": 4}]},
        {"train": {"optimizer": {"use": "sgd", "momentum": 2}}},
        {"train": {"epochs": "many"}},
        {"backbone": {"use": "truncated"}},
        {"backbone": {"keep": 3}},
    ],
)
def test_bad_recipes_do_not(tree, bad):
    assert not fits(bad, tree, tree)
