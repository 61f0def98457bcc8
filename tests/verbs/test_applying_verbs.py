"""predict, evaluate and compare, as functions and as commands, on a tiny bundle."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from graftlm.bundle import load, open_bundle, write
from graftlm.cli.main import main
from graftlm.contracts.values import Answer, Example, Space
from graftlm.core import registry
from graftlm.core.errors import BundleError, DataError, UserError
from graftlm.prediction import Predictor, write_predictions
from graftlm.recipe import build
from graftlm.verbs.comparing import compare
from graftlm.verbs.evaluating import evaluate
from graftlm.verbs.predicting import predict

LABELS = ("差评", "好评", "其他")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny) -> Path:
    folder = tmp_path_factory.mktemp("run")
    task = registry.make("task", "classification")
    write(folder / "bundle", tiny.model("pooled", LABELS), task, Space(LABELS, 3), max_length=32)
    return folder


@pytest.fixture(scope="module")
def texts(tiny) -> list[str]:
    return [text or "w1" for text in tiny.texts(30, seed=3)]


@pytest.fixture(scope="module")
def expected(run: Path, texts: list[str]) -> list[Answer]:
    bundle = open_bundle(run)
    model = load(bundle, precision="fp32", device="cpu")
    predictor = Predictor(model, bundle.task(), bundle.space(), limit=32, precision="fp32")
    return predictor.answers([Example(str(n), {"text": text}) for n, text in enumerate(texts, 1)])


def _files(folder: Path, texts: list[str]) -> dict[str, Path]:
    made = {name: folder / f"a.{name}" for name in ("csv", "jsonl", "txt")}
    made["csv"].write_text("text\n" + "\n".join(texts) + "\n", encoding="utf-8")
    made["jsonl"].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    made["txt"].write_text("\n".join(texts) + "\n", encoding="utf-8")
    return made


@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_predict_keeps_order_and_numbers(run: Path, texts, expected, tmp_path: Path, form: str) -> None:
    lines = list(predict(run, str(_files(tmp_path, texts)[form]), precision="fp32", batch_tokens=50))
    assert [line["id"] for line in lines] == [str(n) for n in range(1, 31)]
    assert [line["label"] for line in lines] == [answer.value for answer in expected]
    assert [line["probability"] for line in lines] == pytest.approx([a.confidence for a in expected], abs=1e-5)
    assert list(lines[0]) == ["id", "label", "probability"]


def test_ids_are_kept(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "乙", "text": "w1"}\n{"id": "甲", "text": "w2 w3 w4 w5 w6"}\n{"id": "3", "text": "w1 w2"}\n'
    )
    assert [line["id"] for line in predict(run, str(path))] == ["乙", "甲", "3"]


def test_objects_in_memory(run: Path, texts, expected) -> None:
    lines = list(predict(run, [{"text": text} for text in texts], precision="fp32"))
    assert [line["label"] for line in lines] == [answer.value for answer in expected]


def test_a_second_text_column_is_left_out_where_the_model_reads_one(run: Path, texts, expected, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,text_pair\n" + "".join(f"{text},w9 w9 w9\n" for text in texts), encoding="utf-8")
    lines = list(predict(run, str(path), precision="fp32"))
    assert [line["label"] for line in lines] == [answer.value for answer in expected]


def test_a_missing_second_text_is_said_before_the_model_loads(tmp_path: Path, tiny, monkeypatch) -> None:
    task = registry.make("task", "classification")
    model = tiny.model("native", LABELS)
    write(tmp_path / "b", model, task, Space(LABELS, 3), max_length=32, roles=["text", "text_pair"])
    monkeypatch.setattr("graftlm.stages.applying.load", None)
    with pytest.raises(DataError, match=r"got none for text_pair\. Name it with --column text_pair=COLUMN"):
        list(predict(tmp_path / "b", [{"text": "w1"}]))


def test_a_missing_source_is_said_before_the_model_loads(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("graftlm.stages.applying.load", None)
    with pytest.raises(DataError, match="There is no file"):
        list(predict(run, str(tmp_path / "none.csv")))


def test_command_predict(run: Path, texts, expected, tmp_path: Path, capsys) -> None:
    path = str(_files(tmp_path, texts)["csv"])
    assert main(["predict", str(run), path, "--precision", "fp32", "--all-probabilities"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] for line in printed] == [answer.value for answer in expected]
    for line in printed:
        assert tuple(line["probabilities"]) == LABELS
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert line["probabilities"][line["label"]] == pytest.approx(line["probability"])
    out = tmp_path / "out.jsonl"
    assert main(["predict", str(run), path, "--out", str(out), "--column", "text=text"]) == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 30
    assert capsys.readouterr().out == ""


def test_command_predict_reads_standard_input(run: Path, monkeypatch, capsys) -> None:
    class Pipe:
        buffer = io.BufferedReader(io.BytesIO("w1 w2\n好看 的 书\n".encode()))

    monkeypatch.setattr(sys, "stdin", Pipe())
    assert main(["predict", str(run), "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_an_output_that_fails_half_way_does_not_appear(run: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "w1"}\n{"text": \n')
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    assert main(["predict", str(run), str(path), "--out", str(out)]) == 2
    assert "a.jsonl" in capsys.readouterr().err
    assert out.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["predict", "{tmp}/none", "x.csv"], "nothing of that name"),
        (["predict", "{run}", "{tmp}/none.csv"], "There is no file"),
        (["predict", "{run}", "-", "--column", "text"], "role=column"),
        (["evaluate", "{tmp}", "x.csv"], "neither a finished run nor a bundle"),
        (["compare", "{tmp}", "{run}"], "no recipe.yaml"),
    ],
)
def test_what_cannot_be_used_ends_with_2(run: Path, tmp_path: Path, capsys, args, words) -> None:
    assert main([arg.format(tmp=tmp_path, run=run) for arg in args]) == 2
    assert words in capsys.readouterr().err


def test_a_damaged_bundle_ends_with_2(run: Path, tmp_path: Path, tiny, capsys) -> None:
    task = registry.make("task", "classification")
    write(tmp_path / "b", tiny.model("native", LABELS), task, Space(LABELS, 3), max_length=32)
    path = tmp_path / "b/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert main(["predict", str(tmp_path / "b"), "-"]) == 2
    assert "model.safetensors: expected SHA-256" in capsys.readouterr().err
    with pytest.raises(BundleError):
        evaluate(tmp_path / "b", [])


def test_evaluate(run: Path, texts, expected, tmp_path: Path, capsys) -> None:
    truths = [answer.value if n % 3 else LABELS[n // 3 % 3] for n, answer in enumerate(expected)]
    path = tmp_path / "a.csv"
    rows = "".join(f"{text},{label}\n" for text, label in zip(texts, truths, strict=True))
    path.write_text("text,label\n" + rows, encoding="utf-8")
    found = evaluate(run, str(path), precision="fp32")
    right = np.mean([truth == answer.value for truth, answer in zip(truths, expected, strict=True)])
    assert found.scores.headline.value == pytest.approx(right)
    assert found.rows == found.scores.headline.n == 30
    assert found.scores.headline.low <= right <= found.scores.headline.high
    assert main(["evaluate", str(run), str(path), "--json", "--precision", "fp32"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["primary"]["value"] == pytest.approx(right)
    assert [row["label"] for row in printed["details"]["per_class"]] == list(LABELS)
    assert main(["evaluate", str(run), str(path)]) == 0
    assert f"accuracy  {right:.4f}" in " ".join(capsys.readouterr().out.split()).replace("accuracy ", "accuracy  ")


def test_evaluate_wants_truths(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nw1 w2 w3\nw2 w3 w4\n")
    with pytest.raises(DataError, match="label"):
        evaluate(run, str(path))


def _finished(folder: Path, right: list[bool], split: str = "test", texts: str = "text") -> Path:
    task = registry.make("task", "classification")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(build({}).as_yaml(), encoding="utf-8")
    examples = [Example(str(n), {"text": f"{texts} {n}"}, "ab"[n % 2]) for n in range(len(right))]
    answers = [Answer("ab"[(n + (not hit)) % 2], 0.9) for n, hit in enumerate(right)]
    grades = task.grade(answers, examples, Space(("a", "b"), 2))
    write_predictions(folder / "predictions" / f"{split}.jsonl", task, examples, answers, grades)
    return folder


def test_compare(tmp_path: Path, capsys) -> None:
    good = _finished(tmp_path / "good", [n % 10 != 0 for n in range(200)])
    bad = _finished(tmp_path / "bad", [n % 3 != 0 for n in range(200)])
    found = compare(good, bad)
    assert found.values == (0.9, 133 / 200)
    assert found.difference.gain == pytest.approx(0.9 - 133 / 200)
    assert found.difference.p_value < 0.001
    assert compare(bad, good).difference.gain == -found.difference.gain
    assert main(["compare", str(good), str(bad)]) == 0
    assert f"{good} is better: +23.50 points" in capsys.readouterr().out
    assert main(["compare", str(good), str(good), "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["difference"]["gain"] == 0
    assert same["difference"]["p_value"] == 1


def test_compare_refuses_other_rows(tmp_path: Path) -> None:
    one = _finished(tmp_path / "one", [True] * 20)
    with pytest.raises(UserError, match=r"20, .* 21"):
        compare(one, _finished(tmp_path / "two", [True] * 21))
    with pytest.raises(UserError, match=r"line 1 is row '0'"):
        compare(one, _finished(tmp_path / "three", [True] * 20, texts="other"))
    with pytest.raises(UserError, match=r"no split in common: .* has 'test', .* has 'valid'"):
        compare(one, _finished(tmp_path / "four", [True] * 20, split="valid"))
    assert compare(tmp_path / "four", tmp_path / "four").split == "valid"
    with pytest.raises(DataError, match="no such file"):
        compare(one, one, split="train")
