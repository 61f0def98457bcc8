"""What holds for every plug-in, whatever its kind."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

import graftlm
from graftlm.contracts.reference import reference
from graftlm.core import registry
from graftlm.core.plugin import Plugin
from graftlm.verbs.describing import describe

PACKAGE = Path(graftlm.__file__).parent
TESTS = Path(__file__).parents[1] / "plugins"
BLANK = "(fill in:"


def is_own(kind: str, name: str) -> bool:
    """Tell whether a plug-in is a file of this package, rather than a third party's."""
    return registry.load(kind, name).__module__.startswith("graftlm.plugins.")


def test_the_registry_finds_plug_ins_of_every_kind_that_the_recipe_needs():
    for kind in ("optimizer", "task", "backbone", "method", "reader", "baseline"):
        assert registry.names(kind), f"no {kind} found"


def test_its_own_test_stands_beside_it(plugin):
    kind, name = plugin
    if is_own(kind, name):
        path = TESTS / registry.FOLDERS[kind] / f"test_{name}.py"
        assert path.is_file(), f"write {path.relative_to(TESTS.parents[1])}"


def test_its_file_says_in_one_line_what_it_does(plugin):
    line = registry.summary(*plugin)
    assert line.endswith(".")
    assert len(line) <= 120
    assert BLANK not in registry.where(*plugin).read_text(encoding="utf-8"), "a blank is not filled in"


def test_its_class_has_a_docstring_and_a_source(plugin):
    found = registry.load(*plugin)
    assert inspect.cleandoc(found.__doc__ or ""), "say in the class what it computes"
    assert found.source.strip(), "say in `source` where it comes from: paper and section, or a reference implementation"


def test_its_kind_is_its_folder_and_its_name_is_its_file(plugin):
    kind, name = plugin
    found = registry.load(kind, name)
    assert (found.kind, found.name()) == (kind, name)
    assert registry.where(kind, name).stem == name


def test_its_file_holds_one_public_class(plugin):
    tree = ast.parse(registry.where(*plugin).read_text(encoding="utf-8"))
    public = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    assert len(public) == 1, f"one public class a file, found {public}"


def test_it_is_a_frozen_record_without_private_state(plugin, sample_of):
    found = registry.load(*plugin)
    assert found.model_config["frozen"]
    assert found.model_config["extra"] == "forbid"
    assert not found.__private_attributes__
    assert set(vars(sample_of(*plugin))) <= set(found.model_fields)


def test_every_field_is_described(plugin):
    for field in describe(*plugin).fields:
        assert field.about, f"write a docstring under the field '{field.name}'"


def test_nothing_abstract_is_left(plugin):
    assert not inspect.isabstract(registry.load(*plugin))


def _varied(first: Plugin, key: str, value: object) -> Plugin | None:
    """Return the record with one field changed; None where two fields do not go together."""
    try:
        return type(first)(**{**first.model_dump(), key: value})
    except ValidationError as fault:
        if any(item["type"] not in ("value_error", "assertion_error") for item in fault.errors()):
            raise
        return None


def test_its_options_survive_json_and_yaml(plugin, sample_of, values_for):
    right, _ = values_for
    first = sample_of(*plugin)
    variants = [first]
    for key, info in type(first).model_fields.items():
        made = [_varied(first, key, value) for value in right(info.annotation, info.metadata)]
        variants += [each for each in made if each is not None]
    for variant in variants:
        for text, load in (
            (json.dumps(variant.as_use()), json.loads),
            (yaml.safe_dump(variant.as_use()), yaml.safe_load),
        ):
            assert registry.make(plugin[0], load(text)) == variant


def test_every_constraint_refuses_a_wrong_value_by_name(plugin, sample_of, values_for):
    kind, name = plugin
    _, wrong = values_for
    place = TypeAdapter(reference(kind))
    given = sample_of(kind, name).as_use()
    for field, info in registry.load(kind, name).model_fields.items():
        for value in wrong(info.annotation, info.metadata):
            with pytest.raises(ValidationError) as fault:
                place.validate_python({**given, field: value})
            message = str(fault.value)
            assert f"{kind} '{name}'" in message, message
            assert f"field '{field}" in message, message


def test_an_unknown_field_is_refused_by_name(plugin, sample_of):
    kind, name = plugin
    with pytest.raises(ValidationError, match=f"{kind} '{name}' has no field 'no_such_field'"):
        TypeAdapter(reference(kind)).validate_python({**sample_of(kind, name).as_use(), "no_such_field": 1})


def test_it_is_described_and_stands_in_the_schema(plugin):
    kind, name = plugin
    found = describe(kind, name)
    json.dumps(found.as_json())
    assert found.summary == registry.summary(kind, name)
    assert [field.name for field in found.fields] == list(registry.load(kind, name).model_fields)


def test_equal_options_make_equal_records(plugin, sample_of):
    first, second = sample_of(*plugin), sample_of(*plugin)
    assert first == second
    assert isinstance(first, Plugin)
    assert first.model_dump_json() == second.model_dump_json()
