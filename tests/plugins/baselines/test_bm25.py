"""BM25 as a baseline: it ranks as the index does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn.bm25 import BM25

_spec = importlib.util.spec_from_file_location("ranking_rows", Path(__file__).parents[1] / "tasks/test_ranking.py")
rows = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rows)


def setting(task, **more):
    none = {name: (lambda *args: None) for name in ("features", "probe", "scratch")}
    return BaselineSetting(task=task, space=Space(size=1), seed=0, **none, **more)


def test_it_ranks_as_the_index_does():
    task = rows.make()
    train = rows.prepared(task, rows.ROWS)["train"]
    answers = registry.make("baseline", "bm25").fit(train, setting(task))(train)
    expected = BM25(rows.DOCUMENTS[:4]).scores(rows.QUERIES)
    for answer, scores, documents in zip(answers, expected, train.column("document"), strict=True):
        own = np.array([scores[rows.DOCUMENTS.index(doc)] for doc in documents])
        np.testing.assert_allclose(answer.detail["scores"], own, atol=1e-6)
    assert [answer.value[0] for answer in answers] == rows.DOCUMENTS[:4]


def test_a_task_that_ranks_nothing_is_refused():
    with pytest.raises(UserError, match="ranks documents for a query"):
        registry.make("baseline", "bm25").fit(None, setting(registry.make("task", "classification")))
