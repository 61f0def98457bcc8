"""Popularity: the counts of the training rows put items into order."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError

_spec = importlib.util.spec_from_file_location(
    "recommended_rows", Path(__file__).parents[1] / "tasks/test_recommendation.py"
)
rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rows)


def setting(task, space):
    none = {name: (lambda *args: None) for name in ("features", "probe", "scratch")}
    return BaselineSetting(task=task, space=space, seed=0, **none)


def test_items_come_by_their_number_of_users_and_those_of_the_user_are_left_out():
    task, found = rows.make(), rows.prepared(rows.make())
    space = task.space(found["train"])
    answers = registry.make("baseline", "popularity").fit(found["train"], setting(task, space))(found["test"])
    counts = dict(zip(space.extra["items"], space.extra["counts"], strict=True))
    for answer, past in zip(answers, found["test"].column("item"), strict=True):
        left = [item for item in answer.value if item not in past]
        assert [counts[item] for item in left] == sorted((counts[item] for item in left), reverse=True)
        assert answer.value[0] not in past


def test_a_task_without_items_is_refused():
    with pytest.raises(UserError, match="recommends items"):
        registry.make("baseline", "popularity").fit(None, setting(registry.make("task", "similarity"), Space()))
