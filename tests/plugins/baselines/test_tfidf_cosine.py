"""TF-IDF cosine against scikit-learn's own, for texts and for documents of a query."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn.words import terms


def load(name):
    spec = importlib.util.spec_from_file_location(f"rows_{name}", Path(__file__).parents[1] / f"tasks/test_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def setting(task):
    none = {name: (lambda *args: None) for name in ("features", "probe", "scratch")}
    return BaselineSetting(task=task, space=Space(size=1), seed=0, **none)


def test_it_gives_the_cosine_of_scikit_learns_vectors():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    module = load("similarity")
    task, train = module.make(), module.rows_of(module.ROWS)
    answers = registry.make("baseline", "tfidf_cosine").fit(train, setting(task))(train)
    first, second = ([row[role] for row in module.ROWS] for role in ("text", "text_pair"))
    fitted = TfidfVectorizer(analyzer=terms, sublinear_tf=True).fit([*first, *second])
    expected = np.diag(cosine_similarity(fitted.transform(first), fitted.transform(second)))
    np.testing.assert_allclose([answer.value for answer in answers], expected, atol=1e-12)
    pairs = [{key: row[key] for key in ("text", "text_pair")} for row in module.ROWS]
    plain = module.rows_of(pairs)
    found = registry.make("baseline", "tfidf_cosine").fit(plain, setting(task))(plain)
    ranks = task.grade(found, plain.examples(), Space())["rank"]
    table = cosine_similarity(fitted.transform(first), fitted.transform(second))
    assert ranks.tolist() == [1 + sum(x > own[n] + 1e-6 for x in own) for n, own in enumerate(table)]


def test_documents_of_a_query_get_a_score_each():
    module = load("ranking")
    task = module.make()
    train = module.prepared(task, module.ROWS)["train"]
    answers = registry.make("baseline", "tfidf_cosine").fit(train, setting(task))(train)
    assert [answer.value[0] for answer in answers] == module.DOCUMENTS[:4]


class _One:
    roles, embeds, group = (), False, None

    def name(self):
        return "one"


def test_one_text_cannot_be_compared():
    with pytest.raises(UserError, match="does not"):
        registry.make("baseline", "tfidf_cosine").fit(None, setting(_One()))
