"""Recommendation: splits by time, the loss and the figures against a count by hand, rows of bad shape."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Preparing
from graftlm.contracts.values import Example, Outputs
from graftlm.core import registry
from graftlm.core.errors import DataError

TEXTS = {
    "1": "Toy Story. Animation, Children", "2": "Heat. Action, Crime", "3": "Casino. Crime, Drama of a gambler in town",
    "4": "Babe. Children, Drama", "5": "钢琴课 剧情", "6": "Clueless. Comedy, Romance", "7": "Twelve Monkeys. Thriller",
}  # fmt: skip
SEEN = {"a": "1452361", "b": "23716", "c": "614253", "d": "7326", "e": "5"}
ROWS = tuple(
    {"user": user, "item": item, "text": TEXTS[item], "time": str(100 + place), "rating": str(1 + (place % 5))}
    for user, items in SEEN.items()
    for place, item in enumerate(items)
)


def rows_of(rows, name="train"):
    numbers = range(len(rows))
    columns = {key: [row.get(key) for row in rows] for key in rows[0]}
    columns |= {"__id__": [str(n) for n in numbers], "__where__": [f"{name}.csv:{n + 2}" for n in numbers]}
    return Rows(name, pa.table(columns), None, name)


def make(**fields):
    return registry.make("task", {"use": "recommendation", **fields})


def prepared(task, rows=ROWS, read=None, **splits):
    return task.prepare({"train": rows_of(rows), **splits}, Preparing(0, lambda *args: None, read or (lambda path: {})))


def steps(rows):
    columns = zip(rows.column("user"), rows.column("item"), rows.column("next"), strict=True)
    return [(user, "".join(past), item) for user, past, item in columns]


def test_the_last_item_of_a_user_is_the_test_and_the_one_before_it_the_validation():
    found = prepared(make(), tuple(reversed(ROWS)))  # time decides, not the order of the rows
    order = "".join(dict.fromkeys(row["user"] for row in reversed(ROWS)))
    assert sorted(steps(found["test"])) == [
        ("a", "145236", "1"),
        ("b", "2371", "6"),
        ("c", "61425", "3"),
        ("d", "732", "6"),
    ]
    assert sorted(steps(found["valid"])) == [
        ("a", "14523", "6"),
        ("b", "237", "1"),
        ("c", "6142", "5"),
        ("d", "73", "2"),
    ]
    train = [step for step in steps(found["train"]) if step[0] == "b"]
    assert train == [("b", "2", "3"), ("b", "23", "7")]
    assert order == "edcba"


def test_newest_items_come_first_as_texts_and_no_more_than_asked_for():
    found = prepared(make(history=2, per_user=1))
    assert len(found["train"]) == 4
    by_user = dict(zip(found["test"].column("user"), found["test"].column("text"), strict=True))
    assert by_user["a"] == [TEXTS["6"], TEXTS["3"]]


def test_splits_that_are_given_stay_and_go_on_where_training_rows_end():
    test = rows_of([row for row in ROWS if row["user"] == "a"][-1:], "test")
    found = prepared(make(), [row for row in ROWS if row["user"] == "a"][:-1], test=test)
    assert steps(found["test"]) == [("a", "145236", "1")]
    assert steps(found["valid"]) == [("a", "14523", "6")]


def test_low_ratings_are_left_out_where_asked_for():
    found = prepared(make(at_least=2))
    assert {item for _, past, item in steps(found["test"]) for item in past + item} <= {
        row["item"] for row in ROWS if row["rating"] >= "2"
    }


def test_texts_come_from_a_file_of_items_and_a_missing_one_is_told():
    plain = [{key: row[key] for key in ("user", "item", "time")} for row in ROWS]
    table = {"movieId": list(TEXTS), "title": list(TEXTS.values()), "genres": ["A|B"] * len(TEXTS)}
    found = prepared(make(items="movies.csv"), plain, lambda path: table)
    space = make().space(found["train"])
    assert space.extra["texts"][0] == f"{TEXTS['1']}. A, B"
    assert space.extra["items"] == list(TEXTS)
    assert space.extra["counts"] == [2, 3, 3, 2, 1, 1, 2]
    with pytest.raises(DataError, match=r"train.csv:2: expected a text for the item '1'; name a file of items"):
        prepared(make(), plain)
    short = {key: column[1:] for key, column in table.items()}
    with pytest.raises(DataError, match="'movies.csv' has none"):
        prepared(make(items="movies.csv"), plain, lambda path: short)


def test_a_user_with_one_item_is_told_and_cold_items_are_counted():
    found = prepared(make())
    messages = [finding.message for finding in make().check(found)]
    assert messages[0] == "train: 1 users have one item alone: nothing comes after it, they are left out."
    assert any("items are cold" in message for message in messages)
    with pytest.raises(DataError, match="No user has enough items"):
        prepared(make(), [row for row in ROWS if row["user"] == "e"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, None),
        ({"time": "2026-01-31"}, None),
        ({"user": " "}, "expected the user's id; got none"),
        ({"item": None}, "expected the item's id; got none"),
        ({"rating": "good"}, "expected a rating as a number; got 'good'"),
        ({"time": "yesterday"}, "expected a time as a number or a date such as 2026-01-31; got 'yesterday'"),
    ],
)
def test_rows_that_cannot_be_used_are_told(row, reason):
    assert make().fault(Example("0", {**ROWS[0], **row})) == reason


def test_the_loss_is_the_in_batch_softmax_without_a_users_own_items():
    task = make(decay=0.5, scale=4.0)
    vectors = torch.nn.functional.normalize(torch.randn(7, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    # two steps: next item "x" after "p", "q"; next item "p" after "r"; and a third whose next is "x" again
    marks = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 4), (0, 1), (1, 5)]
    mine = task.loss(Outputs(vectors), task.stack(marks))
    unit = torch.nn.functional.normalize
    users = [unit(vectors[1] + 0.5 * vectors[2], dim=0), vectors[4], vectors[6]]
    items = [vectors[0], vectors[3], vectors[5]]
    expected = 0.0
    for number, others in ((0, [0]), (1, [0, 1, 2]), (2, [1, 2])):
        scores = torch.stack([4.0 * users[number] @ items[other] for other in others])
        expected -= scores.log_softmax(0)[others.index(number)].item()
    assert mine.item() == pytest.approx(expected, abs=1e-5)
    assert task.count(task.stack(marks)) == 3


def test_items_are_scored_by_cosine_and_popularity_and_the_users_own_left_out():
    task = make(decay=0.5, history=2, scale=3.0, prior=0.5)
    found = prepared(task)
    space = task.space(found["train"])
    matrix = np.random.default_rng(0).normal(size=(7, 5))
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    example = next(e for e in found["test"].examples() if e.fields["user"] == "b")
    answer = task.decode(example, [], [np.zeros(5), matrix], space)
    at = {item: number for number, item in enumerate(space.extra["items"])}
    user = matrix[at["1"]] + 0.5 * matrix[at["7"]]  # the newest, and the one before it
    counts = np.array(space.extra["counts"])
    scores = 3 * matrix @ (user / np.linalg.norm(user)) + 0.5 * np.log((counts + 1) / (counts.sum() + 7))
    order = sorted((item for item in at if item not in "2371"), key=lambda item: -scores[at[item]])
    assert answer.value[:3] == order
    assert answer.detail["rank"] == 1 + order.index("6")


def test_figures_equal_a_count_by_hand_and_those_of_scikit_learn():
    from sklearn.metrics import ndcg_score

    task = make()
    ranks = np.array([1.0, 3.0, 11.0, math.inf])
    grades = {"rank": ranks, "cold": np.array([0.0, 0.0, 1.0, 1.0])}
    figures = {metric.name: metric.compute(grades) for metric in task.metrics}
    true = [[float(place == rank - 1) for place in range(20)] for rank in ranks[:3]]
    reference = [ndcg_score([row], [list(range(20, 0, -1))], k=10) for row in true]
    assert figures["ndcg@10"] == pytest.approx(sum(reference) / 4)
    assert figures["hit_rate@10"] == 0.5
    assert figures["mrr@10"] == pytest.approx((1 + 1 / 3) / 4)
    assert task.details(grades, None)["tables"][0]["rows"][1][:3] == ["cold", 2, 0.0]


def test_a_history_may_be_written_in_one_cell():
    task = make()
    space = task.space(prepared(task)["train"])
    scores = np.arange(7.0)
    for given in ("1, 2", "1|2", ["1", "2"]):
        answer = task.decode(Example("0", {"user": "x", "item": given}), [], [scores], space)
        assert answer.public["items"][:5] == ["7", "6", "3", "5", "4"]


def test_rows_of_a_user_are_one_question():
    task = make(at_least=3)
    rows = [
        Example("1", {"user": "u", "item": "3", "time": "9", "rating": "5"}),
        Example("2", {"user": "v", "item": "7", "time": "1", "rating": "4"}),
        Example("3", {"user": "u", "item": "1", "time": "2", "rating": "4"}),
        Example("4", {"user": "u", "item": "2", "time": "5", "rating": "1"}),
    ]
    (found,) = task.asked([rows[:2], rows[2:]])
    assert [(one.id, one.fields["user"], one.fields["item"]) for one in found] == [
        ("1", "u", ["1", "3"]),
        ("2", "v", "7"),
    ]
    alone = [Example("5", {"user": "w", "item": "1, 2"})]
    assert list(task.asked([alone])) == [alone]


def test_an_answer_names_its_user_and_the_items_that_are_unknown():
    task = make()
    found = prepared(task, tuple({**row, "item": "item, " + row["item"]} for row in ROWS))
    space = task.space(found["train"])
    scores = np.arange(len(space.extra["items"]), dtype=np.float64)
    for given, unknown in (("item, 1|item, 2;nine", ["nine"]), ("item, 1", None), (["item, 1", "x, y"], ["x, y"])):
        answer = task.decode(Example("1", {"user": "u", "item": given}), [], [scores], space)
        assert answer.public["user"] == "u"
        assert answer.public.get("unknown") == unknown
        assert "item, 1" not in answer.public["items"]


def test_a_next_item_that_the_user_had_before_is_counted():
    again = ("4", "2", "1", "2")
    rows = (
        *ROWS,
        *({"user": "f", "item": i, "text": TEXTS[i], "time": str(n), "rating": "3"} for n, i in enumerate(again)),
    )
    task = make()
    (found,) = [one for one in task.check(prepared(task, rows)) if one.code == "again"]
    assert (found.level, found.count) == ("note", 2)
    assert found.message.startswith("test: the next item of 2 of 5 users is one that they had before")
