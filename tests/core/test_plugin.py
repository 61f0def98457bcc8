"""The base record of plug-ins."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import yaml
from pydantic import Field, ValidationError

from graftlm.core.plugin import Plugin


class Sample(Plugin):
    """A plug-in for these tests."""

    kind: ClassVar[str] = "method"
    rank: int = Field(8, ge=1)
    """Rank of the update."""
    targets: tuple[str, ...] = ("query", "value")


def test_its_name_is_its_file():
    assert Sample.name() == "test_plugin"
    assert Sample(rank=2).as_use() == {"use": "test_plugin", "rank": 2, "targets": ["query", "value"]}


def test_it_is_frozen_and_refuses_what_it_does_not_know():
    with pytest.raises(ValidationError, match="frozen"):
        Sample().rank = 3
    with pytest.raises(ValidationError, match="rnak\n  Extra inputs are not permitted"):
        Sample(rnak=3)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Sample(rank=0)


def test_the_line_below_a_field_describes_it():
    assert Sample.model_fields["rank"].description == "Rank of the update."


def test_equal_options_are_equal_and_survive_json_and_yaml():
    plugin = Sample(rank=3, targets=("文",))
    fields = {k: v for k, v in plugin.as_use().items() if k != "use"}
    assert Sample(**json.loads(json.dumps(fields))) == plugin
    assert Sample(**yaml.safe_load(yaml.safe_dump(fields, allow_unicode=True))) == plugin
    assert Sample() != plugin
