"""The linear solution on frozen vectors: it learns which relation of question and choice is right."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.core import registry
from graftlm.core.errors import UserError

TASK = registry.make("task", "multiple_choice")
KINDS = ("cat", "dog", "owl", "fox")


def rows(count, seed, *, like):
    """Make rows whose right choice is the kind that is asked for, or the only other one."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(count):
        asked, other = rng.choice(KINDS, 2, replace=False)
        choices = [f"{asked} {rng.integers(99)}", f"{other} {rng.integers(99)}"]
        turn = int(rng.integers(2))
        right = 0 if like else 1
        found.append((f"{asked} {n}", choices[::-1] if turn else choices, "AB"[right ^ turn]))
    columns = {name: [row[n] for row in found] for n, name in enumerate(("question", "choices", "answer"))}
    number = [str(n) for n in range(count)]
    return Rows("train", pa.table({**columns, ID: number, WHERE: number}), "answer", "0")


def vectors(texts):
    """Give texts of one kind the same direction, and a little of their own."""
    found = np.zeros((len(texts), 8), dtype=np.float32)
    for place, text in enumerate(texts):
        found[place, KINDS.index(text.split()[0])] = 1.0
        found[place, 4:] = 0.3 * np.random.default_rng(
            sum(ord(sign) * 31**n for n, sign in enumerate(text)) % 2**32
        ).normal(size=4)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def setting(train):
    return BaselineSetting(TASK, TASK.space(train), 0, None, None, None, vectors=vectors)


@pytest.mark.parametrize("like", [True, False])
def test_it_learns_likeness_and_its_contrary(like):
    train, test = rows(60, 0, like=like), rows(40, 1, like=like)
    found = registry.make("baseline", "choice_probe").fit(train, setting(train))(test)
    truth = test.column("answer")
    assert np.mean([one.value == right for one, right in zip(found, truth, strict=True)]) > 0.95
    assert all(len(one.detail["probabilities"]) == 2 for one in found)


def test_its_order_is_that_of_logistic_regression_on_the_same_features():
    train, test = rows(60, 0, like=True), rows(30, 2, like=True)

    def features(given):
        out = []
        for example in given.examples():
            q, c = vectors([example.fields["question"]])[0], vectors(list(example.fields["choices"]))
            out.append(np.concatenate([q * c, np.abs(q - c)], axis=1))
        return np.stack(out)

    known, asked = features(train), features(test)
    right = np.array([[letter == "A", letter == "B"] for letter in train.column("answer")]).ravel()
    scale = StandardScaler().fit(known.reshape(-1, 16))
    oracle = LogisticRegression(C=1.0, max_iter=1000).fit(scale.transform(known.reshape(-1, 16)), right)
    scores = oracle.decision_function(scale.transform(asked.reshape(-1, 16))).reshape(-1, 2)
    found = registry.make("baseline", "choice_probe").fit(train, setting(train))(test)
    assert [one.value for one in found] == ["AB"[n] for n in scores.argmax(axis=1)]


def test_another_task_is_told_so():
    table = pa.table({"text": ["a"], "label": ["x"], ID: ["1"], WHERE: ["1"]})
    task = registry.make("task", "classification")
    given = BaselineSetting(task, None, 0, None, None, None, vectors=vectors)
    with pytest.raises(UserError, match=r"needs choices; the task 'classification' has none"):
        registry.make("baseline", "choice_probe").fit(Rows("train", table, "label", "0"), given)
