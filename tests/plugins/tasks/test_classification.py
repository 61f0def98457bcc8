"""Classification: metrics against scikit-learn, encoding, decoding, grading, and what its check finds."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Answer, Example, Inputs, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError

TASK = registry.make("task", "classification")
METRICS = {metric.name: metric.compute for metric in TASK.metrics}


def rows(labels, texts=None, name="train"):
    number = range(len(labels))
    columns = {"text": list(texts or [f"text {i}" for i in number]), "label": list(labels)}
    columns |= {ID: [str(i) for i in number], WHERE: [f"{name}.csv:{i + 2}" for i in number]}
    return Rows(name, pa.table(columns), "label", "0")


def codes(findings):
    return {finding.code: finding for finding in findings}


@pytest.fixture(scope="module")
def tokenizer():
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(50))]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", model_input_names=names
    )


grades_of = st.integers(2, 5).flatmap(
    lambda classes: st.lists(
        st.tuples(st.integers(-1, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60
    )
)


@given(grades_of)
def test_counted_metrics_equal_scikit_learn(pairs):
    true, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    grades = {"true": true, "predicted": predicted}
    assert METRICS["accuracy"](grades) == pytest.approx(reference.accuracy_score(true, predicted), abs=1e-9)
    macro, micro = (reference.f1_score(true, predicted, average=a, zero_division=0) for a in ("macro", "micro"))
    assert METRICS["macro_f1"](grades) == pytest.approx(macro, abs=1e-9)
    assert METRICS["micro_f1"](grades) == pytest.approx(micro, abs=1e-9)
    if len(set(true) | set(predicted)) > 1:
        assert METRICS["mcc"](grades) == pytest.approx(reference.matthews_corrcoef(true, predicted), abs=1e-9)
    else:
        assert METRICS["mcc"](grades) == 0


def graded(logits, labels, space):
    examples = [Example(str(i), {"text": ""}, label) for i, label in enumerate(labels)]
    answers = [
        TASK.decode(e, [Inputs(0, {"input_ids": []})], [row], space) for e, row in zip(examples, logits, strict=True)
    ]
    return answers, examples, TASK.grade(answers, examples, space)


def test_log_loss_equals_scikit_learn():
    space = Space(("a", "b", "c"), 3)
    logits = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * 4
    true = np.random.default_rng(1).integers(0, 3, 40)
    _, _, grades = graded(logits, [space.labels[i] for i in true], space)
    shifted = np.exp(logits.astype(np.float64))
    expected = reference.log_loss(true, shifted / shifted.sum(1, keepdims=True), labels=[0, 1, 2])
    assert METRICS["log_loss"](grades) == pytest.approx(expected, abs=1e-9)


def test_details_equal_scikit_learn():
    space = Space(("a", "b", "c", "rare"), 4)
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 3, 80), rng.integers(0, 3, 80)
    found = TASK.details({"true": true, "predicted": predicted}, space)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        true, predicted, labels=range(4), zero_division=0
    )
    for place, row in enumerate(found["per_class"]):
        assert row["label"] == space.labels[place]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [precision[place], recall[place], f1[place]]
        )
        assert row["support"] == support[place]
    matrix = np.zeros((4, 4), dtype=int)
    for i, j, count in found["confusion"]:
        matrix[i, j] = count
    assert (matrix == reference.confusion_matrix(true, predicted, labels=range(4))).all()
    json.dumps(found)


def test_a_label_never_seen_counts_as_wrong():
    space = Space(("a", "b"), 2)
    _, _, grades = graded(np.array([[3.0, 0.0], [0.0, 3.0]]), ["a", "new"], space)
    assert grades["true"].tolist() == [0, -1]
    assert METRICS["accuracy"](grades) == 0.5
    assert np.isfinite(METRICS["log_loss"](grades))
    assert TASK.details(grades, space)["never_seen"] == 1


def test_answers_carry_label_probability_and_all_probabilities_on_demand():
    space = Space(("no", "yes"), 2)
    answers, _, grades = graded(np.array([[0.0, np.log(3)]]), ["no"], space)
    assert answers[0].value == "yes"
    assert answers[0].public == {"label": "yes", "probability": pytest.approx(0.75)}
    assert json.loads(json.dumps(dict(answers[0].detail))) == {
        "probabilities": pytest.approx({"no": 0.25, "yes": 0.75})
    }
    assert grades["log_probability"][0] == pytest.approx(np.log(0.25))


def test_grades_of_answers_read_back_from_a_file():
    space = Space(("a", "b"), 2)
    examples = [Example("0", {}, "a"), Example("1", {}, "a")]
    bare = TASK.grade([Answer("a", 0.9), Answer("b", 0.6)], examples, space)
    assert METRICS["accuracy"](bare) == 0.5
    assert np.isnan(METRICS["log_loss"](bare))
    full = [
        Answer("a", 0.9, {}, {"probabilities": {"a": 0.9, "b": 0.1}}),
        Answer("b", 0.6, {}, {"probabilities": {"b": 1.0}}),
    ]
    assert TASK.grade(full, examples, space)["log_probability"] == pytest.approx([np.log(0.9), np.log(2.0**-52)])
    with pytest.raises(DataError, match="The answer 'z' is none of the labels"):
        TASK.grade([Answer("z")], examples[:1], space)


def test_decoding_is_quick():
    space = Space(tuple(f"label {i:02}" for i in range(77)), 77)
    logits = np.random.default_rng(0).normal(size=(3000, 77)).astype(np.float32)
    example, inputs = Example("0", {}), [Inputs(0, {"input_ids": []})]
    best = min(_seconds(lambda: [TASK.decode(example, inputs, [row], space) for row in logits]) for _ in range(3))
    assert best < 0.15  # 0.03 s on a quiet processor


def _seconds(work):
    started = time.process_time()
    work()
    return time.process_time() - started


@pytest.mark.parametrize(
    ("given_labels", "expected"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, 9], ("9", "10")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        ([1.0, 0.0, None], ("0", "1")),
        ([True, False], ("False", "True")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["好", "坏"], ("坏", "好")),
    ],
)
def test_space_holds_the_labels_in_order(given_labels, expected):
    space = TASK.space(rows(given_labels))
    assert (space.labels, space.size) == (expected, len(expected))
    assert Space.from_json(json.loads(json.dumps(space.as_json()))) == space


def test_space_of_one_class_is_refused():
    with pytest.raises(DataError, match=r"at least two different labels.*only 'a' in 2 rows.*data\.columns\.label"):
        TASK.space(rows(["a", "a"]))


def test_targets_are_label_numbers_and_strangers_are_named():
    space = Space(("1", "2"), 2)
    examples = [
        Example("0", {}, 2),
        Example("1", {}, 1.0),
        Example("2", {}, "3", "train.csv:9"),
        Example("3", {}, None, "x:4"),
    ]
    assert TASK.targets(examples, [Inputs(1, {}), Inputs(0, {})], space) == [0, 1]
    with pytest.raises(DataError, match=r"train\.csv:9: the row has the label '3', which no training row has"):
        TASK.targets(examples, [Inputs(2, {})], space)
    with pytest.raises(DataError, match="x:4: the row has no label"):
        TASK.targets(examples, [Inputs(3, {})], space)


def test_single_texts_are_cut_at_the_limit_and_the_loss_is_counted(tokenizer):
    examples = [Example("0", {"text": "w1 w2"}), Example("1", {"text": "w1 w2 w3 w4 w5"}), Example("2", {"text": None})]
    found = TASK.encode(examples, tokenizer, 5)
    assert [one.features for one in found] == [
        {"input_ids": [1, 5, 6, 2]},
        {"input_ids": [1, 5, 6, 7, 2]},
        {"input_ids": [1, 2]},
    ]
    assert [(one.row, one.truncated) for one in found] == [(0, 0), (1, 2), (2, 0)]
    assert TASK.encode([], tokenizer, 5) == []


def test_pairs_carry_segment_numbers(tokenizer):
    examples = [
        Example("0", {"text": "w1", "text_pair": "w2 w3"}),
        Example("1", {"text": "w1 w2 w3 w4", "text_pair": "w5 w6 w7"}),
    ]
    found = TASK.encode(examples, tokenizer, 7)
    assert found[0].features == {"input_ids": [1, 5, 2, 6, 7, 2], "token_type_ids": [0, 0, 0, 1, 1, 1]}
    assert [len(one) for one in found] == [6, 7]
    assert found[1].truncated == 3
    assert len(found[1].features["token_type_ids"]) == 7


def test_loss_is_the_sum_of_cross_entropies():
    import torch

    logits = torch.tensor([[0.0, 0.0], [0.0, np.log(3)]], requires_grad=True)
    loss = TASK.loss(Outputs(logits), TASK.stack([0, 0]))
    assert loss.detach().item() == pytest.approx(np.log(2) + np.log(4))
    loss.backward()
    assert logits.grad[1].tolist() == pytest.approx([-0.75, 0.75])
    assert TASK.count(TASK.stack([0, 0])) == 2


def test_a_clean_set_gives_no_findings():
    labels = ["a", "b"] * 10
    assert TASK.check({"train": rows(labels), "test": rows(labels, name="test")}) == []


def test_check_says_what_is_wrong_with_labels():
    labels = ["a"] * 60 + ["b"] * 6 + ["B "] * 6 + ["c"] * 2
    found = codes(TASK.check({"train": rows(labels), "valid": rows(["a", "b", "d", "d"], name="valid")}))
    assert set(found) == {"rare_class", "imbalance", "similar_labels", "unseen_label", "absent_class"}
    assert "1 of 4 classes have fewer than 5 training rows ('c' 2)" in found["rare_class"].message
    assert "'a' has 60 training rows (81%), 'c' 2" in found["imbalance"].message
    assert "'B ' and 'b'" in found["similar_labels"].message
    assert found["unseen_label"].count == 2
    assert "2 rows of valid have labels that no training row has ('d')" in found["unseen_label"].message
    assert "2 of 4 classes have no row in valid ('B ', 'c')" in found["absent_class"].message
    assert all(finding.level == "warning" for finding in found.values())


def test_check_refuses_one_class_and_missing_labels():
    found = codes(TASK.check({"train": rows(["a", "a", None, " "])}))
    assert found["one_class"].level == found["no_label"].level == "error"
    assert found["no_label"].rows == ("train.csv:4", "train.csv:5")
    assert "2 of 4 rows of train have no label" in found["no_label"].message


def test_check_sees_a_label_column_that_is_an_id():
    found = codes(TASK.check({"train": rows([f"user-{i}" for i in range(40)])}))
    assert set(found) == {"label_like_id"}
    assert "40 different labels in 40 training rows" in found["label_like_id"].message


def test_rows_without_truth_are_left_alone():
    blind = rows(["a", "b"], name="new")
    blind = Rows("new", blind.table.drop_columns(["label"]), None, "1")
    assert TASK.check({"train": rows(["a", "b"] * 5), "new": blind}) == []


def test_the_user_can_name_the_metric_that_decides():
    assert TASK.primary.name == "accuracy"
    assert registry.make("task", {"use": "classification", "metric": "macro_f1"}).primary.name == "macro_f1"
    with pytest.raises(ValueError, match="there is no metric 'acuracy'. Did you mean 'accuracy'?"):
        registry.make("task", {"use": "classification", "metric": "acuracy"})
