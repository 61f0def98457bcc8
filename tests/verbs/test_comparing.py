"""Several runs side by side: corrected p-values, and a page that holds all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graftlm.cli.main import main
from graftlm.contracts.values import Answer, Example, Space
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.prediction import write_predictions
from graftlm.recipe import build
from graftlm.verbs.comparing import compare, holm


def finished(folder: Path, right: list[bool], data: Path | None = None, **recipe) -> Path:
    """Write what a comparison reads of a finished run."""
    task = registry.make("task", "classification")
    folder.mkdir(parents=True)
    given = {"data": {"test": str(data), "train": str(data)}} if data else {}
    (folder / "recipe.yaml").write_text(build({**given, **recipe}).as_yaml(), encoding="utf-8")
    examples = [Example(str(n + 1), {"text": f"text {n}"}, "ab"[n % 2], f"t.csv:{n + 2}") for n in range(len(right))]
    answers = [
        Answer(label, 0.9, {"label": label}) for label in ("ab"[(n + (not hit)) % 2] for n, hit in enumerate(right))
    ]
    grades = task.grade(answers, examples, Space(("a", "b"), 2))
    write_predictions(folder / "predictions" / "test.jsonl", task, examples, answers, grades)
    lines = [{"step": n, "epoch": n / 9, "loss": 1 / n, "rate": 1, "score": n / 20, "best": False} for n in range(1, 9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Return three runs: a good one, one as good, a bad one."""
    data = tmp_path / "t.csv"
    data.write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(200)), encoding="utf-8")
    return [
        finished(tmp_path / "good", [n % 10 != 0 for n in range(200)], data),
        finished(tmp_path / "like", [n % 10 != 5 for n in range(200)], data, train={"epochs": 7}),
        finished(tmp_path / "bad", [n % 3 != 0 for n in range(200)], data, methods="probe"),
    ]


def test_holm_is_what_statsmodels_gives():
    # statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm")[1]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_every_pair_is_told(three):
    found = compare(*three)
    assert found.values == (0.9, 0.9, 133 / 200)
    assert [(Path(pair.first).name, Path(pair.second).name) for pair in found.pairs] == [
        ("good", "like"), ("good", "bad"), ("like", "bad")]  # fmt: skip
    assert found.pairs[0].difference.gain == 0
    assert found.pairs[0].holm == 1
    assert found.pairs[1].holm == pytest.approx(3 * min(p.difference.p_value for p in found.pairs), rel=1)
    assert found.as_json()["pairs"][1]["p_holm"] == found.pairs[1].holm
    assert found.page is None


def test_the_page_holds_all_of_it(three, tmp_path):
    page = tmp_path / "new" / "page.html"
    assert compare(*three, out=page).page == page
    text = page.read_text(encoding="utf-8")
    for part in (
        "has the best figure of 3 runs; it is measurably better than 1 of the others", "Paired differences",
        "Learning curves", "train.epochs", "methods.0.use", "McNemar", "text 0", "t.csv:2",
    ):  # fmt: skip
        assert part in text, part
    assert "运行对比" in text
    assert len(page.read_bytes()) < 2_000_000


def test_two_runs_have_a_sentence(three, tmp_path):
    compare(three[2], three[0], out=tmp_path / "p.html")
    assert "good is better than bad by 23.5 points [" in (tmp_path / "p.html").read_text(encoding="utf-8")
    compare(three[1], three[0], out=tmp_path / "q.html")
    text = (tmp_path / "q.html").read_text(encoding="utf-8")
    assert "No measurable difference between like and good" in text
    assert "40 of 200 rows where some runs are right and others wrong" in text


def test_texts_that_have_changed_are_not_shown(three, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "other,a\nanother,b\n" * 100, encoding="utf-8")
    compare(*three, out=tmp_path / "p.html")
    assert (
        "other"
        not in (tmp_path / "p.html").read_text(encoding="utf-8").split("Where they disagree")[-1].split("<script")[0]
    )
    (tmp_path / "t.csv").unlink()
    compare(*three, out=tmp_path / "p.html")
    assert "cannot be read any more, so the texts are not shown: There is no file" in (tmp_path / "p.html").read_text()


def test_the_command_writes_a_page_beside_the_first_report(three, capsys):
    assert main(["compare", *map(str, three)]) == 0
    said = capsys.readouterr().out
    page = three[0] / "compared-with-like-bad.html"
    assert f"page  {page}" in said
    assert page.is_file()
    assert "Holm's correction for 3 comparisons" in said
    assert main(["compare", *map(str, three), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 3


def test_one_run_is_not_enough_and_a_page_needs_a_place(three, capsys):
    assert main(["compare", str(three[0])]) == 2
    assert "two runs or more" in capsys.readouterr().err
    with pytest.raises(UserError, match="cannot be written"):
        compare(*three, out=three[0] / "recipe.yaml" / "p.html")
