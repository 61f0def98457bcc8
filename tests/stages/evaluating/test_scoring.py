"""Figures with intervals: right size, seeded, and quick; metrics.json holds them."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from graftlm.contracts.values import Answer, Example, Space
from graftlm.core import registry
from graftlm.stages.evaluating import metrics_json, own_metric, score

TASK = registry.make("task", "classification")


def answered(rows, classes, right=0.9, seed=0):
    rng = np.random.default_rng(seed)
    space = Space(tuple(f"c{i:03}" for i in range(classes)), classes)
    true = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    logits[np.arange(rows), np.where(rng.random(rows) < right, true, rng.integers(0, classes, rows))] += 9
    examples = [Example(str(i), {}, space.labels[label]) for i, label in enumerate(true)]
    answers = [TASK.decode(example, [], [row], space) for example, row in zip(examples, logits, strict=True)]
    return answers, examples, space


def test_the_interval_of_accuracy_is_the_binomial_one():
    answers, examples, space = answered(2000, 4)
    found = score(TASK, answers, examples, space, resamples=2000, seed=0)
    accuracy = found.headline
    assert found.primary == "accuracy"
    assert set(found.by_name) == {"accuracy", "macro_f1", "micro_f1", "mcc", "log_loss"}
    half = 1.96 * np.sqrt(accuracy.value * (1 - accuracy.value) / 2000)
    assert accuracy.high - accuracy.value == pytest.approx(half, rel=0.1)
    assert accuracy.value - accuracy.low == pytest.approx(half, rel=0.1)
    assert accuracy.n == 2000
    assert not found.by_name["log_loss"].higher_is_better


def test_the_same_seed_gives_the_same_interval():
    given = answered(100, 3)
    one, two, other = (score(TASK, *given, resamples=200, seed=seed).headline for seed in (1, 1, 2))
    assert one == two
    assert (one.low, one.high) != (other.low, other.high) or one.value == other.value


def test_a_thousand_resamples_of_many_classes_take_about_a_second():
    given = answered(3080, 77)
    started = time.process_time()
    score(TASK, *given, resamples=1000, seed=0)
    assert time.process_time() - started < 5


def test_what_answers_cannot_give_is_left_out():
    _, examples, space = answered(10, 3)
    bare = [Answer(example.target, 1.0) for example in examples]
    found = score(TASK, bare, examples, space, resamples=100, seed=0)
    assert "log_loss" not in found.by_name
    assert found.headline.value == found.headline.low == found.headline.high == 1.0


def test_the_numbers_of_answers_and_rows_must_fit():
    answers, examples, space = answered(5, 2)
    with pytest.raises(ValueError, match="as many answers as examples; got 4 and 5"):
        score(TASK, answers[:-1], examples, space, resamples=100, seed=0)


def test_metrics_json_is_the_documented_tree():
    answers, examples, space = answered(50, 3)
    own = own_metric(lambda true, predicted: sum(a == b for a, b in zip(true, predicted, strict=True)) / len(true))
    found = score(TASK, answers, examples, space, resamples=100, seed=0, own_metrics=[own])
    tree = metrics_json(
        TASK, {"valid": found, "test": found}, {"majority": {"test": found}}, None,
        timing={"examples_per_second": 1.0}, device="cpu", precision="fp32", versions={"graftlm": "0"},
    )  # fmt: skip
    assert json.loads(json.dumps(tree, allow_nan=False)) == tree
    assert list(tree) == [
        "task", "primary", "metrics", "baselines", "transfer", "timing", "device", "precision", "versions"
    ]  # fmt: skip
    assert tree["primary"] == {"name": "accuracy", "split": "test", **found.headline.as_json()}
    assert set(tree["metrics"]["test"]["accuracy"]) == {"value", "low", "high", "n", "higher_is_better", "percent"}
    assert tree["metrics"]["test"]["<lambda>"]["value"] == tree["primary"]["value"]
    assert tree["transfer"] is None
