"""The table of forgetting: what is chosen on validation rows, what is confirmed, and a tiny run of both tasks."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def forgetting(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__("forgetting")
    for name in ("forgetting", "cells", "harness", "texts", "fits"):
        sys.modules.pop(name, None)


def cell(row, seed, *, lost, score, lost_valid=None, valid=None):
    return {
        "row": row, "seed": seed, "how": "", "trial": False, "first_before": 0.96, "first_after": 0.96 - lost,
        "forgotten": lost, "test": score, "first_before_valid": 0.97, "valid": score if valid is None else valid,
        "forgotten_valid": lost if lost_valid is None else lost_valid,
    }  # fmt: skip


def results(*found):
    return {"name": "forgetting", "cells": {f"{one['row']}|{one['seed']}": one for one in found}}


def test_the_best_within_both_bounds_on_validation_rows_is_chosen(forgetting):
    found = results(
        cell("full", 0, lost=0.20, score=0.93),
        cell("replay", 0, lost=0.50, score=0.50, lost_valid=0.05, valid=0.925),
        cell("ewc:strength=10", 0, lost=0.0, score=0.99, lost_valid=0.10, valid=0.93),  # forgets too much
        cell("osf", 0, lost=0.0, score=0.99, lost_valid=0.01, valid=0.91),  # costs too much
        cell("l2_sp", 0, lost=0.0, score=0.99, lost_valid=0.06, valid=0.925),  # less in all than replay
        cell("lora", 0, lost=0.0, score=0.99, valid=0.99),  # beside: not chosen
    )
    chosen = forgetting.choose(found, "", [0])
    assert (chosen["row"], chosen["within"], chosen["of"]) == ("replay", True, 4)
    assert chosen["gone_valid"] == pytest.approx(0.75)
    with pytest.raises(SystemExit, match="'full' was not measured with the seeds"):
        forgetting.choose(found, "", [0, 1])


def test_none_within_is_said_and_a_run_that_forgot_nothing_chooses_nothing(forgetting):
    found = results(cell("full", 0, lost=0.2, score=0.93), cell("ewc", 0, lost=0.15, score=0.93))
    assert forgetting.choose(found, "", [0])["within"] is False
    found = results(cell("full", 0, lost=0.0, score=0.93), cell("ewc", 0, lost=0.0, score=0.93))
    with pytest.raises(SystemExit, match="forgot nothing"):
        forgetting.choose(found, "", [0])


def test_fresh_seeds_confirm_on_test_rows(forgetting):
    found = results(
        cell("full", 0, lost=0.2, score=0.93),
        cell("replay", 0, lost=0.02, score=0.93),
        *(cell("full", seed, lost=0.2, score=0.93) for seed in (100, 101, 102)),
        *(cell("replay", 100 + n, lost=0.02 + 0.01 * n, score=0.925) for n in range(3)),
    )
    chosen = forgetting.choose(found, "", [0])
    confirmed = forgetting.confirm(found, "", chosen, [100, 101, 102])
    assert confirmed["gone"] == pytest.approx(1 - 0.09 / 0.6)
    assert confirmed["gain"]["mean"] == pytest.approx(-0.005)
    assert confirmed["kept"]["mean"] == pytest.approx(0.17)
    found["confirmed"] = {"": confirmed}
    forgetting.summarise(found, {"cpu": "a processor"})
    assert [(round(one["value"], 6), one["reached"]) for one in found["checks"]] == [(85, True), (0.5, True)]
    lines = found["summary"]["table"].splitlines()
    assert "| `replay` | 1 | 96.0 | 94.0 | 2.0 | 90 % | 93.0 | +0.0 | 90 % | 93.0 |" in lines
    assert any("the chosen row 3.00, so that 85 % of the forgetting disappears" in line for line in lines)
    assert any(line.startswith("Not measured yet: `l2_sp`, ") for line in lines)


def test_what_is_shorter_is_told_and_kept_apart(forgetting):
    given = argparse.Namespace(model="minilm", rows=None, epochs=None)
    assert forgetting.how(given) == ""
    given.rows, given.epochs = 3000, 2.0
    assert forgetting.how(given) == "rows 3000, epochs 2.0"
    short = results({**cell("full", 0, lost=0.2, score=0.9), "how": "rows 3000", "trial": True})
    forgetting.summarise(short, {"cpu": "a processor"})
    assert short["complete"] is False
    assert "### All rows\n\nNot measured yet.\n\n### Shorter: rows 3000\n" in short["summary"]["table"]
    assert all(one["reached"] is None for one in short["checks"])


def test_a_row_of_a_chain_of_its_own_begins_with_itself(forgetting):
    assert forgetting.beginning("o_lora:rank=4") == "o_lora:rank=4"
    assert forgetting.beginning("full+ewc") == forgetting.beginning("remember:forget_at_most=1.0") == "full"
    assert forgetting.holds("full+ewc:strength=1")
    assert not forgetting.holds("lora:rank=4")


def test_rows_of_no_intent_are_left_out_of_the_first_set(forgetting, tmp_path, monkeypatch):
    place = tmp_path / "data" / "clinc150"
    place.mkdir(parents=True)
    rows = [{"text": f"row {n}", "label": label} for n, label in enumerate(("song", "oos", "film", "oos"))]
    for split in ("train", "dev", "test"):
        (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setenv("GRAFTLM_DATA", str(tmp_path / "data"))
    files = forgetting.data(argparse.Namespace(rows=None), "clinc150", 0, tmp_path / "made")
    texts = sys.modules["texts"]
    assert {split: texts.read(path) for split, path in files.items()} == dict.fromkeys(
        ("train", "valid", "test"), [("row 0", "song"), ("row 2", "film")]
    )


def test_reasons_name_no_folders_of_this_machine(forgetting):
    reason = sys.modules["cells"].reason
    fault = ValueError("Of /some/where/runs/run-1,\n  nothing is left in '/tmp/x/y.json'.")
    assert reason(fault) == "Of run-1, nothing is left in 'y.json'."
    assert reason(fault, last=True) == "nothing is left in 'y.json'."


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_both_tasks_on_a_tiny_model(tmp_path, monkeypatch):
    first, second = tmp_path / "data" / "clinc150", tmp_path / "data" / "banking77" / "raw"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    for split, count in (("train", 12), ("dev", 6), ("test", 6)):
        rows = [{"text": f"play {word} {n} {split}", "label": word} for word in ("song", "film") for n in range(count)]
        (first / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for split, count in (("train", 12), ("test", 5)):
        rows = [f"the {word} of {split} {n},{word}" for word in ("card", "loan", "rate") for n in range(count)]
        (second / f"{split}.csv").write_text("text,category\n" + "\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.setenv("GRAFTLM_DATA", str(tmp_path / "data"))
    out, runs = tmp_path / "forgetting.json", tmp_path / "first"

    def run(*rows):
        asked = [sys.executable, str(FOLDER / "forgetting.py"), "--model", "tiny", "--threads", "1", "--rows", "18"]
        asked += ["--epochs", "1", "--seeds", "0", "--runs", str(runs), "--out", str(out), "--methods", *rows]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=350)

    run("full", "full+ewc:rows=4")
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("metrics.json")}
    told = run("full", "full+ewc:rows=4", "o_lora:rank=2")
    kept = json.loads(out.read_text(encoding="utf-8"))
    found = {one["row"]: one for one in kept["cells"].values()}
    assert set(found) == {"full", "full+ewc:rows=4", "o_lora:rank=2"}
    for one in found.values():
        assert one["forgotten"] == pytest.approx(one["first_before"] - one["first_after"])
        assert 0 <= one["test"] <= 1
        assert one["share"] == 1
    assert len(before) == 1  # one first run for the two rows; the third has its own
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(runs.rglob("metrics.json"))) == 2
    assert "### Shorter: model tiny, rows 18, epochs 1.0" in told.stdout
