"""Similarity against sentence-transformers' losses, scipy, and rows of bad shape."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Example, Inputs, Outputs, Space
from graftlm.core import registry

ROWS = (
    {"text": "a plane is taking off", "text_pair": "an air plane is taking off now", "score": "5.0"},
    {"text": "a man plays a flute in the park", "text_pair": "a man is playing a flute", "score": "3.8"},
    {"text": "three men play chess", "text_pair": "two men play chess", "score": "2.6"},
    {"text": "a cat sleeps", "text_pair": "the stock market fell today", "score": "0.0"},
    {"text": "有人在弹钢琴", "text_pair": "一个人在弹琴", "score": "4.2"},
    {"text": "a dog runs", "text_pair": "a dog is running fast", "score": "4.0"},
)


def rows_of(rows, target="score", name="train"):
    columns = {key: [row.get(key) for row in rows] for key in rows[0]}
    columns |= {
        "__id__": [str(n) for n in range(len(rows))],
        "__where__": [f"{name}.csv:{n + 2}" for n in range(len(rows))],
    }
    return Rows(name, pa.table(columns), target if target in columns else None, name)


def make(**fields):
    return registry.make("task", {"use": "similarity", **fields})


def batch(size=6, width=8, seed=0, negatives=False):
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(size, width, generator=generator) for _ in range(3 if negatives else 2)]
    vectors = torch.stack(parts, dim=1).flatten(0, 1).requires_grad_()
    scores = torch.rand(size, generator=generator)
    return parts, vectors, scores


def targets_of(task, scores, places=2):
    return task.stack([(p, float(s), 10 * n + p) for n, s in enumerate(scores) for p in range(places)])


@pytest.mark.parametrize(
    ("objective", "name"), [("cosine", "CosineSimilarityLoss"), ("cosent", "CoSENTLoss"), ("angle", "AnglELoss")]
)
@pytest.mark.parametrize("width", [8, 7])
def test_losses_of_scores_equal_those_of_sentence_transformers(objective, name, width):
    from sentence_transformers.sentence_transformer import losses

    task = make(objective=objective)
    parts, vectors, scores = batch(width=width)
    scores[2] = scores[1]  # a tie is no order
    reference = getattr(losses, name)(SimpleNamespace(similarity=None)).compute_loss_from_embeddings(parts, scores)
    mine = task.loss(Outputs(vectors), targets_of(task, scores))
    assert mine.item() / len(scores) == pytest.approx(reference.item(), abs=1e-5)
    mine.backward()
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("negatives", [False, True])
def test_multiple_negatives_equals_that_of_sentence_transformers(negatives):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    task = make(objective="multiple_negatives")
    parts, vectors, _ = batch(negatives=negatives)
    reference = MultipleNegativesRankingLoss(SimpleNamespace(similarity=None), scale=20.0)
    expected = reference.compute_loss_from_embeddings([part.detach() for part in parts], None)
    mine = task.loss(Outputs(vectors), targets_of(task, [math.nan] * 6, 3 if negatives else 2))
    assert mine.item() / 6 == pytest.approx(expected.item(), abs=1e-5)


def test_a_partner_that_stands_twice_in_a_batch_is_no_negative_of_itself():
    task = make(objective="multiple_negatives")
    vectors = torch.nn.functional.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    vectors[3] = vectors[1]
    same = task.stack([(0, math.nan, 1), (1, math.nan, 5), (0, math.nan, 2), (1, math.nan, 5)])
    assert task.loss(Outputs(vectors), same).item() == pytest.approx(0.0, abs=1e-6)


def test_metrics_equal_scipy_and_hand_counted_ranks():
    from scipy import stats

    task = make()
    rng = np.random.default_rng(0)
    examples = [Example(str(n), {"text": "a", "text_pair": "b"}, str(round(rng.uniform(0, 5), 1))) for n in range(20)]
    pieces = rng.normal(size=(20, 2, 6))
    inputs = [Inputs(0, {}, 0, {"place": p}) for p in range(2)]
    answers = [task.decode(e, inputs, list(p), Space()) for e, p in zip(examples, pieces, strict=True)]
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pieces]
    grades = task.grade(answers, examples, Space())
    figures = {metric.name: metric.compute(grades) for metric in task.metrics}
    true = [float(e.target) for e in examples]
    assert figures["spearman"] == pytest.approx(stats.spearmanr(true, cosines).statistic, abs=1e-12)
    assert figures["pearson"] == pytest.approx(stats.pearsonr(true, cosines).statistic, abs=1e-12)
    assert math.isnan(figures["accuracy"])
    assert math.isnan(figures["mrr"])

    plain = [Example(e.id, e.fields) for e in examples]
    unit = pieces / np.linalg.norm(pieces, axis=2, keepdims=True)
    table = unit[:, 0] @ unit[:, 1].T
    ranks = [1 + sum(x > table[n, n] for x in table[n]) for n in range(20)]
    figures = {metric.name: metric.compute(task.grade(answers, plain, Space())) for metric in task.metrics}
    assert figures["mrr"] == pytest.approx(np.mean([1 / r for r in ranks]))
    assert figures["recall@10"] == pytest.approx(np.mean([r <= 10 for r in ranks]))
    assert math.isnan(figures["spearman"])


def test_answers_that_are_all_alike_order_nothing():
    grades = {"score": np.array([1.0, 2.0]), "cosine": np.array([0.5, 0.5])}
    assert [metric.compute(grades) for metric in make().metrics[:2]] == [0.0, 0.0]
    assert math.isnan(make().primary.compute({"score": np.array([1.0, 1.0]), "cosine": np.array([0.5, 0.6])}))


def test_triplets_are_told_by_which_is_nearer():
    task = make()
    inputs = [Inputs(0, {}, 0, {"place": p}) for p in range(3)]
    near, far = np.array([1.0, 0.1]), np.array([-1.0, 0.2])
    examples = [Example(str(n), {"text": "a", "text_pair": "b", "negative": "c"}) for n in range(2)]
    pieces = [[np.array([1.0, 0.0]), near, far], [np.array([1.0, 0.0]), far, near]]
    answers = [task.decode(e, inputs, p, Space()) for e, p in zip(examples, pieces, strict=True)]
    grades = task.grade(answers, examples, Space())
    assert next(m for m in task.metrics if m.name == "accuracy").compute(grades) == 0.5


@pytest.mark.parametrize(
    ("row", "objective", "metric"),
    [
        ({"text": "a", "text_pair": "b", "score": "3"}, "cosent", "spearman"),
        ({"text": "a", "text_pair": "b"}, "multiple_negatives", "mrr"),
        ({"text": "a", "text_pair": "b", "negative": "c"}, "multiple_negatives", "accuracy"),
    ],
)
def test_the_data_choose_loss_and_metric(row, objective, metric):
    settled = make().settled(rows_of([row, {**row, **({"score": "1.5"} if "score" in row else {})}]), None)
    assert (settled.objective, settled.primary.name) == (objective, metric)
    if "score" in row:
        assert (settled.low, settled.high) == (0.0, 5.0)
        values = settled.targets([Example("0", row, "1")], [Inputs(0, {}, 0, {"place": 0, "text": "a"})], Space())
        assert values[0][1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        ([{"text": "a"}], {}, "expected a second text in each row"),
        ([{"text": "a", "text_pair": "b", "negative": "c", "score": "1"}], {}, "got both"),
        ([{"text": "a", "text_pair": "b"}], {"objective": "cosent"}, "cosent learns from scores"),
        (
            [{"text": "a", "text_pair": "b", "score": "1"}, {"text": "a", "text_pair": "b", "score": "0"}],
            {"objective": "multiple_negatives"},
            "learns from pairs that belong together",
        ),
        (
            [{"text": "a", "text_pair": "b", "score": "1"}, {"text": "a", "text_pair": "b", "score": "7"}],
            {"low": 0, "high": 5},
            "1 of 2 scores lie outside 0 to 5 (the first: '7')",
        ),
        ([{"text": "a", "text_pair": "b", "score": "3"}], {"low": 3, "high": 3}, "Scores must differ"),
    ],
)
def test_rows_that_cannot_be_used_are_told_in_one_sentence(rows, fields, message):
    found = [f for f in make(**fields).check({"train": rows_of(rows)}) if f.level == "error"]
    assert [message in f.message for f in found] == [True], found


@pytest.mark.parametrize(("score", "fault"), [("much", True), ("nan", True), ("3.5", False), (None, False)])
def test_a_score_that_is_no_number_is_a_fault_of_its_row(score, fault):
    found = make().fault(Example("0", {"text": "a", "text_pair": "b"}, score))
    assert found == (f"expected a number as the score; got {score!r}" if fault else None)


def test_the_scaling_of_scores_is_told():
    found = make().check({"train": rows_of(ROWS)})
    assert [f.message for f in found if f.code == "score_range"] == [
        "Scores from 0 to 5 are scaled to 0 to 1 (task.low, task.high)."
    ]


def test_one_text_is_answered_with_its_vector():
    task = make()
    example = Example("1", {"text": "a plane"})
    answer = task.decode(example, [Inputs(0, {}, 0, {"place": 0})], [np.array([0.6, 0.8])], Space())
    assert answer.public == {"embedding": [0.6, 0.8]}
    both = task.decode(
        Example("1", {"text": "a", "text_pair": "b"}),
        [Inputs(0, {}, 0, {"place": p}) for p in range(2)],
        [np.array([0.6, 0.8]), np.array([0.8, 0.6])],
        Space(),
    )
    assert both.public == {"cosine": 0.96}
    assert both.detail["embeddings"]["text_pair"] == [0.8, 0.6]


@pytest.mark.parametrize(
    ("fields", "score", "told"),
    [
        ({"text": "a", "text_pair": None}, None, "expected a second text; got an empty one"),
        ({"text": "a", "text_pair": " "}, "3", "expected a second text; got an empty one"),
        ({"text": "", "text_pair": "b"}, None, "expected a first text; got an empty one"),
        ({"text": "a", "text_pair": ["b", ""]}, None, "expected a second text; got an empty one"),
        ({"text": "a", "text_pair": ["b"]}, "3", "expected one second text beside a score; got a list"),
        ({"text": "a", "text_pair": "b", "negative": [["c"]]}, None,
         "expected a text, or a list of texts, as the negative text; got [['c']]"),
        ({"text": "a", "text_pair": "b", "negative": ["c", None]}, None, "expected a negative text; got an empty one"),
        ({"text": "a", "text_pair": "b", "negative": None}, None, None),
        ({"text": "a", "text_pair": ["b"], "negative": []}, None, None),
        ({"text": "a"}, None, None),
    ],
)  # fmt: skip
def test_a_missing_text_is_a_fault_of_its_row(fields, score, told):
    assert make().fault(Example("0", fields, score)) == told


def test_lists_of_texts_become_rows_of_their_own():
    rows = rows_of(
        [
            {"text": "a", "text_pair": ["p"], "negative": ["n1", "n2"]},
            {"text": "b", "text_pair": ["q", "r"], "negative": []},
            {"text": "c", "text_pair": ["s"], "negative": ["n3"]},
        ]
    )
    made = make().prepare({"train": rows}, None)["train"]
    texts = [made.column(name) for name in ("text", "text_pair", "negative", "__id__")]
    assert list(zip(*texts, strict=True)) == [
        ("a", "p", "n1", "0-1"),
        ("a", "p", "n2", "0-2"),
        ("b", "q", None, "1-1"),
        ("b", "r", None, "1-2"),
        ("c", "s", "n3", "2"),
    ]
    assert made.where(3) == rows.where(1)
    plain = rows_of(ROWS)
    assert make().prepare({"train": plain}, None)["train"] is plain


def test_a_triplet_without_its_negative_is_read_as_a_pair():
    examples = [Example("0", {"text": "a", "text_pair": "b", "negative": given}) for given in ("c", None, " ")]
    encoded = make().encode(examples, registry.make("backbone", "tiny").open().tokenizer, 16)
    assert [(one.row, one.keep["place"]) for one in encoded] == [
        (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)
    ]  # fmt: skip
