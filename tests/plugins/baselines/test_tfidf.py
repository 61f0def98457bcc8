"""TF-IDF: learns from words, from characters where a script has no spaces, and reaches its floors."""

from __future__ import annotations

import csv
import json
import time

import numpy as np
import pyarrow as pa
import pytest

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.plugins.baselines.tfidf import _by_characters

TASK = registry.make("task", "classification")


def rows(texts, labels, **more):
    number = [str(i) for i in range(len(texts))]
    return Rows("train", pa.table({"text": texts, "label": labels, **more, ID: number, WHERE: number}), "label", "0")


def fitted(train, space=None, **fields):
    unused = lambda *_: pytest.fail("not needed")  # noqa: E731
    setting = BaselineSetting(TASK, space or TASK.space(train), 0, unused, unused, unused)
    return registry.make("baseline", {"use": "tfidf", **fields}).fit(train, setting)


def values(answers):
    return [answer.value for answer in answers]


@pytest.mark.parametrize(
    ("texts", "labels", "asked", "expected"),
    [
        (
            ["good film", "great film", "bad film", "awful film"],
            ["+", "+", "-", "-"],
            ["great good", "awful"],
            ["+", "-"],
        ),
        (
            ["红色苹果", "红色草莓", "蓝色天空", "蓝色海洋"],
            ["红", "红", "蓝", "蓝"],
            ["一个红色的球", "蓝天"],
            ["红", "蓝"],
        ),
        (["😀😀", "😀", "😡😡", "😡"], ["+", "+", "-", "-"], ["😡😡😡", "😀"], ["-", "+"]),
        (["a x", "a y", "b x", "c x"], ["A", "A", "B", "C"], ["a", "c"], ["A", "C"]),
    ],
)
def test_it_learns_from_words_and_characters(texts, labels, asked, expected):
    train = rows(texts, labels)
    answers = fitted(train)(rows(asked, expected))
    assert values(answers) == expected
    assert all(answer.confidence > 1 / len(set(labels)) for answer in answers)


def test_scripts_without_spaces_are_told_from_others():
    assert _by_characters(["这部电影很好看", "これは良い"])
    assert _by_characters(["ภาพยนตร์เรื่องนี้ดีมาก"])
    assert not _by_characters(["this film is good", "이 영화는 좋다", "хороший фильм"])
    assert not _by_characters(["mostly English with one 词"])


def test_the_second_text_of_a_pair_counts():
    train = rows(["same"] * 4, ["+", "+", "-", "-"], text_pair=["good", "good fine", "bad", "bad poor"])
    assert values(fitted(train)(rows(["same"], ["-"], text_pair=["poor"]))) == ["-"]


def test_a_class_without_training_rows_stays_possible_but_last():
    train = rows(["good", "bad"], ["a", "b"])
    answer = fitted(train, Space(("a", "b", "z"), 3))(rows(["good"], ["a"]))[0]
    assert answer.value == "a"
    assert 0 < answer.detail["probabilities"]["z"] < 1e-6


def test_two_classes_give_the_probabilities_of_one_logistic_regression():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [f"w{i % 7} w{i % 5} w{i % 3}" for i in range(60)]
    labels = ["a" if i % 7 < 3 else "b" for i in range(60)]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    terms = vectorizer.fit_transform(texts)
    reference = LogisticRegression(solver="liblinear", C=10, tol=1e-6, max_iter=1000).fit(terms, labels)
    found = fitted(rows(texts, labels))(rows(texts, labels))
    expected = reference.predict_proba(terms)
    assert np.abs([list(answer.detail["probabilities"].values()) for answer in found] - expected).max() < 0.02


def test_empty_texts_are_said():
    with pytest.raises(DataError, match="every text is empty"):
        fitted(rows(["", " "], ["a", "b"]))


def test_same_seed_same_answers():
    train = rows([f"w{i % 9} w{i % 4}" for i in range(90)], [str(i % 3) for i in range(90)])
    one, two = (fitted(train)(train) for _ in range(2))
    assert [answer.confidence for answer in one] == [answer.confidence for answer in two]


def accuracy(train, test):
    return np.mean([a == b for a, b in zip(values(fitted(train)(test)), test.column("label"), strict=True)])


@pytest.mark.data
def test_it_reaches_its_floor_on_banking77_in_seconds(data_folder):
    splits = []
    for name in ("train", "test"):
        with (data_folder / f"banking77/raw/{name}.csv").open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        splits.append(rows([row["text"] for row in found], [row["category"] for row in found]))
    started = time.process_time()
    assert accuracy(*splits) > 0.891
    assert time.process_time() - started < 30


@pytest.mark.data
def test_it_reaches_its_floor_on_chinese_titles(data_folder):
    splits = []
    for name in ("train", "test"):
        lines = (data_folder / f"csl_category/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        splits.append(rows([row["text"] for row in found], [row["label"] for row in found]))
    assert accuracy(*splits) > 0.785
