"""Ranking: figures against scikit-learn and hand-made lists, mining, rows of bad shape."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Preparing
from graftlm.contracts.values import Example, Inputs, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError

DOCUMENTS = [
    "the card was charged twice for one payment in the shop",
    "a new card arrives within five working days by post",
    "money is transferred to another account at once",
    "卡片丢失后请立即挂失",
    "exchange rates are those of the day of the payment",
    "the app shows the balance of every account",
]
QUERIES = [
    "why was my card charged twice",
    "when does my new card arrive",
    "how fast is a transfer of money",
    "卡片丢了怎么办",
]
ROWS = tuple(
    {"query": query, "document": document, "relevance": "1" if q == d else "0"}
    for q, query in enumerate(QUERIES)
    for d, document in enumerate(DOCUMENTS[:4])
)


def rows_of(rows, name="train"):
    columns = {key: [row.get(key) for row in rows] for key in rows[0]}
    columns |= {
        "__id__": [str(n) for n in range(len(rows))],
        "__where__": [f"{name}.csv:{n + 2}" for n in range(len(rows))],
    }
    return Rows(name, pa.table(columns), "relevance" if "relevance" in columns else None, name)


def make(**fields):
    return registry.make("task", {"use": "ranking", **fields})


def letters(run, texts):
    """Stand for a bi-encoder: how often each letter comes."""
    found = np.array([[text.count(sign) for sign in "abcdefghijklmnopqrstuvwxyz卡"] for text in texts], dtype=float)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def prepared(task, rows, seed=0, **splits):
    return task.prepare({"train": rows_of(rows), **splits}, Preparing(seed, letters, lambda path: {}))


def pairs():
    return [{"query": q, "document": d} for q, d in zip(QUERIES, DOCUMENTS, strict=False)]


def graded(task, relevance, scores, missed=()):
    documents = [f"d{n}" for n in range(len(relevance))]
    example = Example("0", {"query": "q", "document": documents, "missed": list(missed)}, list(relevance))
    inputs = [Inputs(0, {}, 0, {"place": n}) for n in range(len(relevance))]
    answer = task.decode(example, inputs, [np.array([s]) for s in scores], Space(size=1))
    grades = task.grade([answer], [example], Space(size=1))
    return answer, {metric.name: metric.compute(grades) for metric in task.metrics}


def test_ndcg_equals_that_of_scikit_learn_and_the_others_a_count_by_hand():
    from sklearn.metrics import average_precision_score, ndcg_score

    task, rng = make(), np.random.default_rng(0)
    for size in (5, 30):
        for _ in range(20):
            relevance = rng.integers(0, 4, size).astype(float)
            relevance[0] = 2
            scores = rng.permutation(size).astype(float)
            _, figures = graded(task, relevance, scores)
            # scikit-learn's gain is the grade itself, ours 2^grade - 1
            assert figures["ndcg@10"] == pytest.approx(ndcg_score([2**relevance - 1], [scores], k=10), abs=1e-12)
            assert figures["map"] == pytest.approx(average_precision_score(relevance > 0, scores), abs=1e-12)
            ranked = [r for _, r in sorted(zip(-scores, relevance, strict=True))]
            assert figures["mrr"] == pytest.approx(1 / next(n for n, r in enumerate(ranked, 1) if r > 0))
            assert figures["recall@10"] == pytest.approx(sum(r > 0 for r in ranked[:10]) / sum(relevance > 0))


def test_a_relevant_document_that_is_no_candidate_counts_as_not_found():
    _, figures = graded(make(), [1.0, 0.0], [2.0, 1.0], missed=[1.0])
    gain = 1 + 1 / math.log2(3)
    assert figures == {
        "ndcg@10": pytest.approx(1 / gain),
        "mrr": 1.0,
        "recall@10": 0.5,
        "map": pytest.approx(0.5),
    }


def test_a_query_without_relevant_documents_is_left_out():
    task = make()
    found = {metric.name: metric.compute({"ndcg@10": np.array([np.nan, 0.5])}) for metric in task.metrics[:1]}
    assert found == {"ndcg@10": 0.5}


@pytest.mark.parametrize("objective", ["softmax", "binary"])
def test_losses_equal_those_of_torch_query_by_query(objective):
    task = make(objective=objective)
    scores = [torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.3, 0.1])]
    grades = [torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 0.0])]
    targets = task.stack([(n, float(g)) for one in grades for n, g in enumerate(one)])
    mine = task.loss(Outputs(torch.cat(scores)[:, None]), targets)
    if objective == "softmax":
        expected = sum(
            torch.nn.functional.cross_entropy(s[None], (g / g.sum())[None]) for s, g in zip(scores, grades, strict=True)
        )
    else:
        expected = sum(
            torch.nn.functional.binary_cross_entropy_with_logits(s, (g > 0).float())
            for s, g in zip(scores, grades, strict=True)
        )
    assert mine.item() == pytest.approx(expected.item(), abs=1e-6)
    assert task.count(targets) == 2


def test_rows_of_a_query_become_one_example():
    found = prepared(make(), [*ROWS, {**ROWS[0], "relevance": "0"}])["train"]
    assert found.column("query") == QUERIES
    assert found.column("relevance")[1] == [0.0, 1.0, 0.0, 0.0]
    assert found.column("relevance")[0][0] == 1.0  # of a document that comes twice, the best grade
    assert found.where(1) == "train.csv:6"


@pytest.mark.parametrize("retriever", [None, "runs/bi"])
def test_negatives_are_mined_where_rows_hold_none_the_same_with_the_same_seed(retriever):
    task = make(negatives=2, candidates=3, retriever=retriever)
    extra = [{"query": "q" + d, "document": d} for d in DOCUMENTS[4:]]
    valid = rows_of([*pairs(), *extra], "valid")
    found = prepared(task, [*pairs(), *extra], valid=valid)
    assert all(len(docs) == 3 for docs in found["train"].column("document"))
    assert all(sum(given) == 1 for given in found["train"].column("relevance"))
    assert all(len(docs) == 3 for docs in found["valid"].column("document"))
    for given, missed in zip(found["valid"].column("relevance"), found["valid"].column("missed"), strict=True):
        assert sum(given) + sum(missed) == 1
    again = prepared(task, [*pairs(), *extra], valid=valid)
    assert again["train"].fingerprint == found["train"].fingerprint
    if retriever is not None:
        order = np.argsort(-(letters("", [QUERIES[0]]) @ letters("", DOCUMENTS).T)[0], kind="stable")[:3]
        assert found["valid"].column("document")[0] == [DOCUMENTS[n] for n in order]


def test_given_negatives_are_thinned_in_training_alone():
    found = prepared(make(negatives=1), ROWS, valid=rows_of(ROWS, "valid"))
    assert [len(docs) for docs in found["train"].column("document")] == [2] * 4
    assert [len(docs) for docs in found["valid"].column("document")] == [4] * 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, None),
        ({"relevance": None}, None),
        ({"relevance": "-1"}, "expected a relevance of 0 or more; got '-1'"),
        ({"relevance": "good"}, "expected a relevance of 0 or more; got 'good'"),
        ({"query": " "}, "expected a query; got an empty one"),
        ({"document": ""}, "expected a document; got an empty one"),
        ({"document": ["a", "b"], "relevance": [1]}, "expected a relevance for each of 2 documents; got 1"),
    ],
)
def test_rows_that_cannot_be_used_are_told(row, reason):
    given = {**ROWS[0], **row}
    target = given.pop("relevance")
    assert make().fault(Example("0", given, target)) == reason


def test_data_without_an_order_are_refused():
    task = make()
    flat = prepared(task, [{**row, "relevance": "0"} for row in ROWS])
    assert [f.code for f in task.check(flat) if f.level == "error"] == ["nothing_relevant"]
    with pytest.raises(DataError, match="at least two different documents"):
        prepared(task, [{"query": "a", "document": "b"}])


def test_one_document_is_answered_with_its_score_and_several_with_their_order():
    task = make()
    alone = Example("0", {"query": "q", "document": "d"})
    answer = task.decode(alone, [Inputs(0, {}, 0, {"place": 0})], [np.array([1.5])], Space(size=1))
    assert answer.public == {"score": 1.5}
    answer, _ = graded(task, [0.0, 1.0, 0.0], [0.1, 3.0, 2.0])
    assert answer.public["ranking"] == [1, 2, 0]
    assert answer.value == ["d1", "d2", "d0"]


def test_documents_that_are_said_not_to_be_relevant_are_ranked_with_the_others():
    rows = [
        {"query": "q1", "document": ["a"], "negative": ["b", "c"]},
        {"query": "q2", "document": ["d"], "negative": ["e", "a"]},
        {"query": "q1", "document": ["c"], "negative": ["f"]},
    ]
    found = prepared(make(), rows)["train"]
    assert found.column("document") == [["a", "b", "c", "f"], ["d", "e", "a"]]
    assert found.column("relevance") == [[1, 0, 1, 0], [1, 0, 0]]
    assert make().check({"train": found}) == []


@pytest.mark.parametrize(
    ("negative", "told"),
    [
        (["b", " "], "expected a document that is not relevant; got an empty one"),
        ([["b"]], "expected a document as text; got ['b']"),
        (None, None),
        ("b", None),
    ],
)
def test_such_a_document_may_be_missing_but_not_blank(negative, told):
    assert make().fault(Example("0", {"query": "q", "document": "a", "negative": negative})) == told
