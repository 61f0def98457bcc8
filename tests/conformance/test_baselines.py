"""What holds for every baseline: an answer for each row, in the space, the same with the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.core import registry


@pytest.fixture
def answered(baseline_name, make_run):
    """Return a run and the function that fits the baseline and answers rows."""
    serves = [name for name in registry.names("task") if baseline_name in registry.load("task", name).baselines]
    run = make_run([], task=serves[0] if serves and "classification" not in serves else "classification")
    numbers = {label: n for n, label in enumerate(run.space.labels)}
    fallback = registry.make("baseline", "majority")

    def features(rows):
        own = np.array([numbers[str(label)] for label in rows.column(rows.target)])
        return np.eye(run.space.size, dtype="float32")[own]

    def vectors(texts):
        found = np.zeros((len(texts), 64), dtype="float32")
        for row, text in enumerate(texts):
            for sign in text:
                found[row, ord(sign) % 64] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def setting():
        return BaselineSetting(
            task=run.task,
            space=run.space,
            seed=3,
            features=features,
            probe=lambda: _identity(run.space.size),
            tokenizer=run.model.tokenizer,
            scratch=lambda: fallback.fit(run.rows, setting()),
            vectors=vectors,
        )

    return run, lambda rows: registry.make("baseline", baseline_name).fit(run.rows, setting())(rows)


def _identity(size):
    from graftlm.contracts.method import Linear

    return Linear(np.eye(size, dtype="float32"), np.zeros(size, "float32"), 1.0)


def test_it_answers_every_row_in_the_space(answered):
    run, answer = answered
    found = list(answer(run.rows))
    assert len(found) == len(run.rows)
    every = [one.value if isinstance(one.value, list) else [one.value] for one in found]
    assert not run.space.labels or {value for values in every for value in values} <= set(run.space.labels)


def test_it_is_no_worse_than_any_constant_answer_on_its_own_rows(answered):
    run, answer = answered
    if not run.space.labels or not run.task.pooled:
        pytest.skip("the task's answers are not one label a row")
    truth = [str(label) for label in run.rows.column(run.rows.target)]
    right = sum(one.value == label for one, label in zip(answer(run.rows), truth, strict=True))
    assert right >= max(truth.count(label) for label in set(truth))


def test_it_answers_a_row_alone_as_among_others(answered):
    run, answer = answered
    together = [one.value for one in answer(run.rows)]
    assert [next(iter(answer(run.rows.take([n])))).value for n in range(len(run.rows))] == together


def test_it_repeats(answered):
    run, answer = answered
    assert [one.value for one in answer(run.rows)] == [one.value for one in answer(run.rows)]


def test_it_says_in_words_what_it_is(baseline_name):
    assert registry.load("baseline", baseline_name).about.strip()
