"""Multilabel: figures against scikit-learn, ways to write labels, thresholds, levels, and what cannot be read."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import metrics as reference

from graftlm.contracts.label_sets import labels_of
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Example, Inputs, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading import read

TASK = registry.make("task", "multilabel")
METRICS = {metric.name: metric.compute for metric in TASK.metrics}
ROWS = [
    {"text": "the card was charged twice and never arrived", "label": ["charge", "card"]},
    {"text": "where is the card", "label": ["card"]},
    {"text": "transfer the money, the charge was wrong", "label": ["transfer", "charge"]},
    {"text": "hello", "label": []},
    {"text": "转账 a transfer", "label": ["transfer"]},
]


def rows(labels, name="train"):
    count = [str(n) for n in range(len(labels))]
    columns = {"text": [f"text {n}" for n in count], "label": labels, ID: count}
    return Rows(name, pa.table({**columns, WHERE: [f"{name}.csv:{int(n) + 2}" for n in count]}), "label", "0")


def examples_of(truth, labels):
    return [Example(str(n), {}, [labels[i] for i in np.flatnonzero(row)]) for n, row in enumerate(truth)]


def graded(logits, truth, space, task=TASK):
    examples = examples_of(truth, space.labels)
    answers = [task.decode(e, [], [row], space) for e, row in zip(examples, logits, strict=True)]
    return task.grade(answers, examples, space)


def codes(findings):
    return {finding.code: finding for finding in findings}


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels = tuple("abcdef")
    truth = rng.random((80, 6)) < 0.3
    truth[np.arange(6), np.arange(6)] = True
    logits = np.round(rng.normal(size=(80, 6)) + truth, 1)  # many equal scores
    grades = graded(logits, truth, Space(labels, 6))
    said = logits >= 0
    for name, average in (("macro_f1", "macro"), ("micro_f1", "micro")):
        expected = reference.f1_score(truth, said, average=average)
        assert METRICS[name](grades) == pytest.approx(expected, abs=1e-9)
    assert METRICS["subset_accuracy"](grades) == pytest.approx(reference.accuracy_score(truth, said), abs=1e-9)
    expected = reference.average_precision_score(truth, logits, average="macro")
    assert METRICS["map"](grades) == pytest.approx(expected, abs=1e-9)
    drawn = rng.integers(0, 80, 80)
    part = {name: column[drawn] for name, column in grades.items()}
    expected = reference.average_precision_score(truth[drawn], logits[drawn], average="macro")
    if truth[drawn].any(axis=0).all():
        assert METRICS["map"](part) == pytest.approx(expected, abs=1e-9)


def test_labels_that_occur_nowhere_are_left_out_as_scikit_learn_does_when_told():
    truth = np.array([[1, 0, 0], [0, 1, 0]], bool)
    logits = np.array([[1.0, -1, -1], [1, 1, -1]])
    expected = reference.f1_score(truth, logits >= 0, average="macro", zero_division=np.nan)
    assert METRICS["macro_f1"](graded(logits, truth, Space(tuple("abc"), 3))) == pytest.approx(expected)


def test_a_label_never_seen_counts_as_missed():
    examples = [Example("1", {}, ["a", "new"]), Example("2", {}, ["a"])]
    space = Space(("a", "b"), 2)
    answers = [TASK.decode(e, [], [np.array([3.0, -3.0])], space) for e in examples]
    grades = TASK.grade(answers, examples, space)
    assert METRICS["subset_accuracy"](grades) == 0.5
    assert METRICS["micro_f1"](grades) == pytest.approx(2 * 2 / (2 + 3))
    assert METRICS["macro_f1"](grades) == pytest.approx(0.5)
    assert TASK.details(grades, space)["never_seen"] == 1


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        (["joy", "anger", "joy"], ["joy", "anger"]),
        ("joy, anger", ["joy", "anger"]),
        ("joy|anger", ["joy", "anger"]),
        ("joy; anger ;", ["joy", "anger"]),
        ("喜悦、愤怒", ["喜悦", "愤怒"]),
        ("喜悦，愤怒", ["喜悦", "愤怒"]),
        ('["joy", "a, b"]', ["joy", "a, b"]),
        ("['joy', 'anger']", ["joy", "anger"]),
        ({"joy": "1", "anger": "0", "fear": "True"}, ["joy", "fear"]),
        ({"joy": None, "anger": "false"}, []),
        ("", []),
        (None, []),
        ([], []),
        ([1.0, 2], ["1", "2"]),
        (3.0, ["3"]),
    ],
)
def test_ways_to_write_labels(written, labels):
    assert labels_of(written) == labels


def test_a_named_delimiter_is_the_only_one():
    assert labels_of("Smith, John / Doe, Jane", "/") == ["Smith, John", "Doe, Jane"]
    assert labels_of("a，b, c", ",") == ["a", "b", "c"]
    assert labels_of("a, b", "none") == ["a, b"]


def test_what_stands_between_labels_is_found_and_said_and_two_of_them_are_refused():
    found = codes(TASK.check({"train": rows(["a, b", "b", "a"] * 5)}))
    assert found["delimiter"].message == "',' stands between labels (task.delimiter)."
    found = codes(TASK.check({"train": rows(["a, b", "b|c", "a"] * 5)}))
    assert found["delimiters"].level == "error"
    assert "task.delimiter" in found["delimiters"].message
    task = registry.make("task", {"use": "multilabel", "delimiter": "|"})
    assert "delimiters" not in codes(task.check({"train": rows(["a, b", "b|c", "a"] * 5)}))


def test_rows_without_labels_are_legal_and_counted_and_single_labels_are_doubted():
    found = codes(TASK.check({"train": rows([["a"], [], ["b"]]), "test": rows([["a"], ["c"]], "test")}))
    assert (found["no_label"].level, found["no_label"].count) == ("note", 1)
    assert "task 'classification'" in found["single_labels"].message
    assert "'c'" in found["unseen_label"].message
    assert "'b'" in found["absent_class"].message
    assert TASK.space(rows([["a"], [], ["b"]])).extra == {"least": 0}


def test_where_each_training_row_has_a_label_an_answer_has_one():
    space = TASK.space(rows([["a"], ["b", "a"]]))
    low = [np.array([-2.0, -1.0])]
    assert TASK.decode(Example("1", {}), [], low, space).value == ["b"]
    assert TASK.decode(Example("1", {}), [], low, Space(("a", "b"), 2, {"least": 0})).value == []


def test_the_loss_is_torchs_own():
    examples = examples_of(np.eye(3, dtype=bool), "abc")
    targets = TASK.stack(TASK.targets(examples, [Inputs(n, {}) for n in range(3)], Space(tuple("abc"), 3)))
    logits = torch.randn(3, 3)
    expected = torch.nn.MultiLabelSoftMarginLoss(reduction="sum")(logits, targets.float())
    assert TASK.loss(Outputs(logits), targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_thresholds_are_tuned_by_label_kept_in_the_space_and_used():
    rng = np.random.default_rng(0)
    truth = np.stack([rng.random(400) < 0.4, rng.random(400) < 0.1], axis=1)
    logits = np.stack([rng.normal(size=400) + 2 * truth[:, 0], rng.normal(size=400) - 4 + 2 * truth[:, 1]], axis=1)
    space = Space(("often", "rare"), 2)
    examples = examples_of(truth, space.labels)
    tuned = TASK.tune(examples, [Inputs(n, {}) for n in range(400)], list(logits), space)
    assert Space.from_json(json.loads(json.dumps(tuned.as_json()))) == tuned
    often, rare = tuned.extra["thresholds"]
    assert rare < 0.2 < often
    assert METRICS["macro_f1"](graded(logits, truth, tuned)) > METRICS["macro_f1"](graded(logits, truth, space)) + 0.1
    fixed = registry.make("task", {"use": "multilabel", "threshold": 0.3})
    assert fixed.tune(examples, [], list(logits), space) == space
    assert fixed.decode(examples[0], [], [np.array([-0.8, -0.9])], space).value == ["often"]


def test_labels_of_several_levels_are_scored_at_each():
    labels = ("arts", "sport/ball/golf", "sport/ball/tennis", "sport/water")
    truth = np.array([[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]], bool)
    said = np.array([[0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]], bool)
    grades = graded(np.where(said, 3.0, -3.0), truth, Space(labels, 4))
    (table,) = TASK.details(grades, Space(labels, 4))["tables"]
    depth = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}
    assert [depth[n]["labels"] for n in (1, 2, 3)] == [2, 2, 2]
    assert depth[1]["micro F1 %"] == 100.0
    assert depth[2]["micro F1 %"] == 50.0  # ball right, water missed, ball said once too often
    assert depth[3]["micro F1 %"] == 0.0
    flat = Space(("a", "b"), 2)
    assert "tables" not in TASK.details(graded(np.eye(2) * 9 - 4, np.eye(2, dtype=bool), flat), flat)


def written(tmp_path, text, name="rows.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_columns_of_0_and_1_are_found_named_and_read(tmp_path):
    lines = ["id,comment,toxic,threat", *(f"{n},comment number {n},{n % 2},{int(n % 3 == 0)}" for n in range(30))]
    path = written(tmp_path, "\n".join(lines) + "\n")
    found = read(DataSection(train=path), TASK)
    assert found.facts["sources"]["train"]["columns"]["label"]["column"] == ["toxic", "threat"]
    space = TASK.space(found.train)
    assert space.labels == ("threat", "toxic")
    first = found.train.examples(0, 1)[0]
    number = int(first.id)
    assert TASK.truth(first) == [name for name, flag in (("toxic", number % 2), ("threat", number % 3 == 0)) if flag]
    named = read(DataSection(train=path, columns={"label": ["threat"], "text": "comment"}), TASK)
    assert named.facts["sources"]["train"]["columns"]["label"]["column"] == ["threat"]
    with pytest.raises(DataError, match=r"there is no column 'threats'.*Did you mean 'threat'"):
        read(DataSection(train=path, columns={"label": ["toxic", "threats"]}), TASK)


def test_a_column_that_is_no_flag_is_named_by_file_and_row(tmp_path):
    path = written(tmp_path, "text,joy,anger\na b c,1,0\nd e f,0,maybe\n")
    with pytest.raises(DataError, match=r"rows.csv:3: column 'anger' holds 'maybe'; expected 0 or 1"):
        TASK.space(read(DataSection(train=path, columns={"label": ["joy", "anger"]}, split={"valid": 0}), TASK).train)


def test_columns_of_0_and_1_beside_others_are_told_when_no_label_is_found(tmp_path):
    lines = ["text,author,joy,anger", *(f"text number {n},author {n},{n % 2},0" for n in range(30))]
    with pytest.raises(DataError, match=r"'joy', 'anger' hold 0 and 1 alone.*\{label: \[COLUMN, ...\]\}"):
        read(DataSection(train=written(tmp_path, "\n".join(lines) + "\n")), TASK)


def test_an_empty_cell_means_no_label(tmp_path):
    found = read(DataSection(train=written(tmp_path, "text,labels\na b c,\nd e f,x;y\n"), split={"valid": 0}), TASK)
    assert [TASK.truth(example) for example in found.train.examples()] == [[], ["x", "y"]]


def test_a_plain_checkpoint_says_that_several_labels_may_be_right(make_plain):
    module = make_plain(TASK, Space(("a", "b", "c"), 3))
    assert module.config.problem_type == "multi_label_classification"
    assert module.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.fixture
def make_plain():
    def make(task, space):
        from graftlm.stages.training.assembling import assemble

        backbone = registry.make("backbone", {"use": "tiny", "pooling": "native"})
        return assemble(backbone.open(), backbone, task, space, seed=0).module

    return make


def test_lists_of_0_and_1_are_no_labels_until_they_are_named():
    for written in ([[0, 1, 1], [1, 0, 0]], [[False, True, True], [True, False, False]], ["[0, 1, 1]", "[1, 0, 0]"]):
        given = rows([written[0], written[1]] * 10)
        found = codes(TASK.check({"train": given}))["vectors"]
        assert (found.level, found.count) == ("error", 20)
        assert "lists of 3 values 0 and 1" in found.message
        assert "task.names" in found.message
        task = registry.make("task", {"use": "multilabel", "names": ["joy", "anger", "fear"]})
        assert "vectors" not in codes(task.check({"train": given}))
        assert task.space(given).labels == ("anger", "fear", "joy")
        assert task.truth(given.examples(0, 1)[0]) == ["anger", "fear"]
    told = "expected 0 or 1 for each of the 3 labels (task.names); got 2 values"
    assert task.fault(Example("0", {"text": "a"}, [0, 1])) == told
    # numbers of labels, not flags
    assert "vectors" not in codes(TASK.check({"train": rows([[0, 1], [1], [0]] * 5)}))


@pytest.mark.parametrize("strange", [[["joy"], "anger"], [{"name": "joy"}], '[["joy"], "anger"]'])
def test_a_label_that_is_a_list_or_a_mapping_is_a_fault_of_its_row(strange):
    assert TASK.fault(Example("0", {"text": "a"}, strange)).startswith("expected a label as text or number; got ")
