"""Lines of answers: what is printed, what is kept, and what a damaged file says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from graftlm.contracts.values import Answer, Example
from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.prediction.lines import as_line, mark, read_predictions, write_predictions


def test_a_line_has_id_answer_and_details_on_demand() -> None:
    answer = Answer("好", 0.75, {"label": "好", "probability": 0.75}, {"probabilities": {"好": 0.75, "坏": 0.25}})
    example = Example("7", {"text": "x"})
    assert list(as_line(example, answer)) == ["id", "label", "probability"]
    assert as_line(example, answer, detail=True)["probabilities"] == {"好": 0.75, "坏": 0.25}


def test_the_mark_names_content_and_truth() -> None:
    one = mark(Example("1", {"text": "x"}, "a"))
    assert one == mark(Example("2", {"text": "x"}, "a", "elsewhere"))
    assert one != mark(Example("1", {"text": "y"}, "a"))
    assert one != mark(Example("1", {"text": "x"}, "b"))
    assert len(one) == 16


def test_predictions_come_back(tmp_path: Path) -> None:
    task = registry.make("task", "classification")
    examples = [Example(f"i{n}", {"text": f"文本{n}"}, "b") for n in range(3)]
    answers = [Answer("a", 0.5, {"label": "a"})] * 3
    grades = {"true": np.array([1, 1, 1]), "predicted": np.array([0, 0, 0]), "loss": np.array([0.5, np.nan, 1.0])}
    path = tmp_path / "predictions/test.jsonl"
    write_predictions(path, task, examples, answers, grades)
    found = read_predictions(path)
    assert found.ids == ("i0", "i1", "i2")
    assert found.rows == tuple(mark(example) for example in examples)
    assert found.grades.keys() == grades.keys()
    for name, column in grades.items():
        np.testing.assert_array_equal(found.grades[name], column)
        assert found.grades[name].dtype == column.dtype
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["truth"] == "b"
    assert first["label"] == "a"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"id": 1}', '{"id": "1", "row": "x", "grades": 3}'])
def test_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text('{"id": "1", "row": "x", "grades": {"a": 1}}\n' + damage + "\n")
    with pytest.raises(DataError, match=r"test\.jsonl:2: expected an answer"):
        read_predictions(path)


def test_no_file_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").touch()
    with pytest.raises(DataError, match="empty"):
        read_predictions(tmp_path / "x.jsonl")
