"""Pair: F1 of the positive class against scikit-learn, which class that is, and columns of real pair sets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as reference

from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Answer, Example, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading import read

TASK = registry.make("task", "pair")
METRICS = {metric.name: metric.compute for metric in TASK.metrics}
ROWS = [
    {"text": "the card was charged twice today", "text_pair": "it was charged two times", "label": "same"},
    {"text": "where is it", "text_pair": "the weather is fine", "label": "other"},
    {"text": "a cat", "text_pair": "a small cat", "label": "same"},
    {"text": "天气很好", "text_pair": "我要退款", "label": "other"},
]


def rows(labels, name="train"):
    count = [str(n) for n in range(len(labels))]
    columns = {"text": [f"a {n}" for n in count], "text_pair": [f"b {n}" for n in count], "label": list(labels)}
    return Rows(name, pa.table({**columns, ID: count, WHERE: [f"{name}.csv:{n}" for n in count]}), "label", "0")


def graded(task, true, predicted, labels):
    examples = [Example(str(n), {}, label) for n, label in enumerate(true)]
    return task.grade([Answer(label) for label in predicted], examples, Space(tuple(labels), len(labels)))


def test_f1_of_the_positive_class_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels = ("equivalent", "not_equivalent")
    for _ in range(20):
        true, predicted = (np.array(labels)[rng.integers(0, 2, 30)] for _ in range(2))
        grades = graded(TASK, true, predicted, labels)
        expected = reference.f1_score(true, predicted, pos_label="equivalent", zero_division=0)
        assert METRICS["f1"](grades) == pytest.approx(expected, abs=1e-9)
        assert METRICS["macro_f1"](grades) == pytest.approx(reference.f1_score(true, predicted, average="macro"))
    assert METRICS["f1"](graded(TASK, ["not_equivalent"], ["not_equivalent"], labels)) == 0.0


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["entailment", "not_entailment"], "entailment"),
        (["0", "1"], "1"),
        (["TRUE", "false"], "TRUE"),
        (["不相关", "相关"], "相关"),
        (["a", "b"], "b"),
    ],
)
def test_the_positive_class_is_the_one_that_says_yes_and_it_is_said(labels, positive):
    notes = {one.code: one.message for one in TASK.check({"train": rows(labels * 6)})}
    assert f"label '{positive}'" in notes["positive_label"]
    grades = graded(TASK, labels, [positive, positive], sorted(labels))
    assert METRICS["f1"](grades) == pytest.approx(2 / 3)


def test_the_positive_class_may_be_named_and_must_be_there():
    task = registry.make("task", {"use": "pair", "positive": "a"})
    assert METRICS["f1"](graded(task, ["a", "b"], ["a", "a"], ["a", "b"])) == pytest.approx(2 / 3)
    with pytest.raises(DataError, match=r"task.positive is 'yes', which no training row has.*'a', 'b'"):
        registry.make("task", {"use": "pair", "positive": "yes"}).space(rows(["a", "b"]))


def test_three_classes_have_no_f1_of_one_class():
    grades = graded(TASK, ["a", "b", "c"], ["a", "b", "a"], ["a", "b", "c"])
    assert np.isnan(METRICS["f1"](grades))
    assert METRICS["accuracy"](grades) == pytest.approx(2 / 3)


def test_labels_that_only_one_split_has_are_told():
    found = {one.code: one for one in TASK.check({"train": rows(["a", "b"] * 5), "test": rows(["a", "c"], "test")})}
    assert "'c'" in found["unseen_label"].message
    assert "'b'" in found["absent_class"].message


@pytest.mark.parametrize(
    ("columns", "text", "other"),
    [
        (("sentence1", "sentence2", "label"), "sentence1", "sentence2"),
        (("premise", "hypothesis", "label"), "premise", "hypothesis"),
        (("question", "sentence", "label"), "question", "sentence"),
        (("question1", "question2", "is_duplicate"), "question1", "question2"),
        (("句子1", "句子2", "标签"), "句子1", "句子2"),
    ],
)
def test_the_columns_of_public_sets_are_found(tmp_path, columns, text, other):
    lines = ["\t".join(columns), *(f"first text {n}\tsecond one {n}\t{n % 2}" for n in range(30))]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    facts = read(DataSection(train=str(tmp_path / "pairs.tsv")), TASK).facts["sources"]["train"]["columns"]
    assert (facts["text"]["column"], facts["text_pair"]["column"]) == (text, other)


def test_an_empty_target_is_named_by_file_and_row(tmp_path):
    lines = ["sentence1,sentence2,label", *(f"a {n},b {n},{n % 2}" for n in range(5)), "c,d,"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs.csv:7: column 'label' is empty"):
        read(DataSection(train=str(tmp_path / "pairs.csv")), TASK)


def test_a_label_that_says_that_judges_did_not_agree_is_no_class():
    fault = TASK.fault(Example("0", {"text": "a", "text_pair": "b"}, "-"))
    assert "judges did not agree" in fault
    assert TASK.fault(Example("0", {"text": "a", "text_pair": "b"}, "neutral")) is None
    (found,) = [one for one in TASK.check({"train": rows(["0", "1", "2", "-1"] * 8)}) if one.code == "no_agreement"]
    assert (found.level, found.count, found.rows[0]) == ("warning", 8, "train.csv:3")
    assert not [one for one in TASK.check({"train": rows(["1", "-1"] * 8)}) if one.code == "no_agreement"]
