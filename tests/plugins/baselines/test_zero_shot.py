"""The base model's own vectors, compared."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError

_spec = importlib.util.spec_from_file_location("similar_rows", Path(__file__).parents[1] / "tasks/test_similarity.py")
rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rows)


def vectors(texts):
    found = np.array([[text.count(sign) + 0.01 for sign in "abcdefgh"] for text in texts])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def setting(task, **more):
    none = {name: (lambda *args: None) for name in ("features", "probe", "scratch")}
    return BaselineSetting(task=task, space=Space(), seed=0, **none, **more)


def test_it_gives_the_cosine_of_the_base_models_vectors_and_is_pretrained():
    task, train = rows.make(), rows.rows_of(rows.ROWS)
    baseline = registry.make("baseline", "zero_shot")
    answers = baseline.fit(train, setting(task, vectors=vectors))(train)
    first, second = (vectors([row[role] for row in rows.ROWS]) for role in ("text", "text_pair"))
    np.testing.assert_allclose([answer.value for answer in answers], (first * second).sum(1), atol=1e-12)
    assert baseline.pretrained


def test_it_needs_texts_to_compare():
    with pytest.raises(UserError, match="compares texts"):
        registry.make("baseline", "zero_shot").fit(None, setting(rows.make()))
