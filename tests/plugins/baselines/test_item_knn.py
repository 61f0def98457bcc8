"""Item-kNN against scikit-learn's cosine on the table of users and items."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize(("neighbours", "last"), [(100, None), (2, None), (100, 2)])
def test_scores_are_sums_of_cosines_over_an_items_nearest(neighbours, last):
    from sklearn.metrics.pairwise import cosine_similarity

    task, found = rows.make(), rows.prepared(rows.make())
    space = task.space(found["train"])
    ids = space.extra["items"]
    seen = {user: items[:-2] for user, items in rows.SEEN.items() if len(items) > 3}
    table = np.array([[float(item in items) for item in ids] for items in seen.values()])
    near = cosine_similarity(table.T)
    np.fill_diagonal(near, 0)
    for row in near:
        row[np.argsort(-row, kind="stable")[neighbours:]] = 0
    baseline = registry.make("baseline", {"use": "item_knn", "neighbours": neighbours, "last": last})
    answers = baseline.fit(found["train"], setting(task, space))(found["test"])
    for answer, past in zip(answers, found["test"].column("item"), strict=True):
        counted = past if last is None else past[-last:]
        scores = near[:, [ids.index(item) for item in counted]].sum(axis=1)
        best = [scores[ids.index(item)] for item in answer.value if item not in past]
        assert best == sorted(best, reverse=True)
        assert best == pytest.approx(answer.detail["scores"][: len(best)], abs=1e-6)


def test_a_task_without_items_is_refused():
    with pytest.raises(UserError, match="recommends items"):
        registry.make("baseline", "item_knn").fit(None, setting(registry.make("task", "similarity"), Space()))
