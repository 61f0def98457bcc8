"""Regression: figures against scikit-learn and scipy, several numbers, scaling, and what is no number."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn import metrics as reference

from graftlm.contracts.baseline import BaselineSetting
from graftlm.contracts.rows import ID, WHERE, Rows
from graftlm.contracts.values import Answer, Example, Inputs, Outputs, Space
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading import read

TASK = registry.make("task", "regression")
METRICS = {metric.name: metric.compute for metric in TASK.metrics}
ROWS = [
    {"text": "a plane is taking off from the ground", "text_pair": "an air plane is taking off", "score": "5.0"},
    {"text": "a man", "text_pair": "a woman", "score": "1.5"},
    {"text": "a cat sleeps", "text_pair": "a cat", "score": "3"},
    {"text": "猫", "text_pair": "狗在跑", "score": "0.25"},
]
ONE = Space((), 1, {"names": ["value"], "mean": [0.0], "deviation": [1.0]})


def rows(scores, name="train"):
    count = [str(n) for n in range(len(scores))]
    places = [f"{name}.csv:{n + 2}" for n in range(len(scores))]
    return Rows(
        name, pa.table({"text": [f"text {n}" for n in count], "score": scores, ID: count, WHERE: places}), "score", "0"
    )


def graded(true, predicted, space=ONE):
    examples = [Example(str(n), {}, value) for n, value in enumerate(true)]
    return TASK.grade([Answer(value) for value in predicted], examples, space)


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_scikit_learn_and_scipy(seed):
    rng = np.random.default_rng(seed)
    true = np.round(rng.normal(size=50) * 3 + 100, 1)
    predicted = np.round(true + rng.normal(size=50), 1)
    grades = graded(true.tolist(), predicted.tolist())
    assert METRICS["rmse"](grades) == pytest.approx(reference.root_mean_squared_error(true, predicted), abs=1e-9)
    assert METRICS["mae"](grades) == pytest.approx(reference.mean_absolute_error(true, predicted), abs=1e-9)
    assert METRICS["r2"](grades) == pytest.approx(reference.r2_score(true, predicted), abs=1e-9)
    assert METRICS["spearman"](grades) == pytest.approx(stats.spearmanr(true, predicted).statistic, abs=1e-9)
    assert METRICS["pearson"](grades) == pytest.approx(stats.pearsonr(true, predicted).statistic, abs=1e-9)


def test_several_numbers_are_judged_by_the_mean_over_them_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 2)) * [1, 50]
    predicted = true + rng.normal(size=(40, 2))
    space = Space((), 2, {"names": ["a", "b"], "mean": [0, 0], "deviation": [1, 1]})
    names = [dict(zip("ab", row, strict=True)) for row in true.tolist()]
    grades = graded(names, [dict(zip("ab", row, strict=True)) for row in predicted.tolist()], space)
    assert METRICS["rmse"](grades) == pytest.approx(reference.root_mean_squared_error(true, predicted), abs=1e-9)
    assert METRICS["r2"](grades) == pytest.approx(reference.r2_score(true, predicted), abs=1e-9)


def test_a_constant_answer_has_no_correlation_and_tells_no_variance():
    grades = graded([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert (METRICS["spearman"](grades), METRICS["pearson"](grades), METRICS["r2"](grades)) == (0.0, 0.0, 0.0)
    flat = graded([2.0, 2.0], [2.0, 3.0])
    assert METRICS["r2"](flat) == reference.r2_score([2.0, 2.0], [2.0, 3.0]) == 0.0
    assert METRICS["r2"](graded([2.0, 2.0], [2.0, 2.0])) == 1.0


def test_numbers_are_scaled_by_the_training_rows_and_answers_scaled_back():
    space = TASK.space(rows(["10", "20", "60"]))
    assert Space.from_json(json.loads(json.dumps(space.as_json()))) == space
    examples = [Example("1", {}, "60"), Example("2", {}, "30")]
    targets = TASK.targets(examples, [Inputs(0, {}), Inputs(1, {})], space)
    assert np.ravel(targets).tolist() == pytest.approx([30 / np.std([10, 20, 60]), 0.0])
    answer = TASK.decode(examples[0], [], [np.float32(targets[0])], space)
    assert answer.value == pytest.approx(60.0, rel=1e-6)
    assert dict(answer.public) == {"value": answer.value}


def test_the_loss_is_torchs_own():
    logits, targets = torch.randn(4, 3), torch.randn(4, 3)
    expected = torch.nn.functional.mse_loss(logits, targets) * 4
    assert TASK.loss(Outputs(logits), targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_is_no_number_is_named_by_file_and_row(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("text,score\na b,3.5\nc d,good\ne f,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"scores.csv:3: expected a number such as 3.5; got 'good'"):
        read(DataSection(train=str(path)), TASK)
    found = read(DataSection(train=str(path), bad_rows="skip", split={"valid": 0}), TASK)
    assert len(found.train) == 2
    assert found.facts["sources"]["train"]["skipped"] == 1
    path.write_text("text,score\na b,3.5\nc d,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"scores.csv:3: column 'score' is empty"):
        read(DataSection(train=str(path)), TASK)
    assert "finite" in TASK.fault(Example("1", {}, "nan"))


def test_several_columns_and_lists_are_read(tmp_path):
    path = tmp_path / "essays.csv"
    path.write_text("essay,grammar,style\na b,3,1.5\nc d,2,2\ne f,1,4\n", encoding="utf-8")
    found = read(DataSection(train=str(path), columns={"score": ["grammar", "style"]}, split={"valid": 0}), TASK).train
    space = TASK.space(found)
    assert (space.size, space.extra["names"], space.extra["mean"]) == (2, ["grammar", "style"], [2.0, 2.5])
    answer = TASK.decode(found.examples()[0], [], [np.zeros(2)], space)
    assert answer.value == {"grammar": 2.0, "style": 2.5}
    assert TASK.truth(found.examples()[0]) == {"grammar": 3.0, "style": 1.5}
    path.write_text("essay,grammar,style\na b,3,1.5\nc d,2,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"essays.csv:3: column 'style': expected a number"):
        read(DataSection(train=str(path), columns={"score": ["grammar", "style"]}), TASK)
    lists = rows([[1.0, 2.0], [3.0, 5.0]])
    assert TASK.space(lists).extra["mean"] == [2.0, 3.5]
    with pytest.raises(DataError, match="expected 2 numbers, as in the rows before; got 1"):
        TASK.space(rows([[1.0, 2.0], [3.0]]))
    with pytest.raises(DataError, match="expected numbers for 'grammar', 'style'; got none for 'style'"):
        TASK.grade([answer], [Example("1", {}, {"grammar": 3})], space)


def test_constant_numbers_two_numbers_and_numbers_beyond_are_told():
    codes = {one.code: one for one in TASK.check({"train": rows(["1", "1"])})}
    assert codes["constant"].level == "error"
    codes = {one.code: one for one in TASK.check({"train": rows(["1", "2"] * 5), "test": rows(["0", "2"], "test")})}
    assert "'classification'" in codes["two_values"].message
    assert codes["beyond"].message == "1 rows of test lie beyond the training rows' 1 to 2."
    with pytest.raises(DataError, match="nothing to learn"):
        TASK.space(rows(["1", "1"]))


def test_details_have_tables_and_curves_of_json():
    details = TASK.details(graded([1.0, 2.0, 3.0], [1.0, 2.5, 2.0]), ONE)
    json.dumps(details, allow_nan=False)
    assert details["tables"][0]["rows"][-1][:2] == ["all", 3]


@pytest.mark.parametrize("name", ["majority", "tfidf"])
def test_baselines_answer_with_numbers(name):
    words = ["bad", "poor", "fine", "good"]
    train = rows([str(10 * (n % 4)) for n in range(40)])
    texts = pa.array([f"a {words[n % 4]} one {n}" for n in range(40)])
    train = Rows("train", train.table.set_column(0, "text", texts), "score", "0")
    space = TASK.space(train)
    fitted = registry.make("baseline", name).fit(train, BaselineSetting(TASK, space, 0, None, None, None))
    said = [answer.value for answer in fitted(train)]
    if name == "majority":
        assert said == pytest.approx([15.0] * 40)
    else:
        assert np.corrcoef(said, [10 * (n % 4) for n in range(40)])[0, 1] > 0.95


def test_full_width_numbers_are_read_and_the_empty_column_of_several_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("内容,评分\n" + "".join(f"句子{n},１．{'０５'[n % 2]}\n" for n in range(20)), encoding="utf-8")
    rows = read(DataSection(train=str(path), split={"valid": 0}), TASK).train
    assert TASK.space(rows).extra["mean"] == [1.25]
    path.write_text("text,a,b\n" + "".join(f"t{n},{n},{n}\n" for n in range(5)) + "t,1,\n", encoding="utf-8")
    with pytest.raises(DataError, match="a.csv:7: column 'b' is empty; expected"):
        read(DataSection(train=str(path), columns={"score": ["a", "b"]}), TASK)
