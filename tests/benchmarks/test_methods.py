"""The table of methods: rows, cuts, cells that two processes keep, what is chosen and what is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from graftlm.core import registry

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Import a module of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield __import__
    for name in ("methods", "cells", "harness", "texts", "fits"):
        sys.modules.pop(name, None)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Make a small banking77 of three classes, 12 rows a class to train on and 5 to test."""
    place = tmp_path / "data" / "banking77" / "raw"
    place.mkdir(parents=True)
    for split, count in (("train", 12), ("test", 5)):
        rows = [f"the {word} of {split} {n},{word}" for word in ("card", "loan", "rate") for n in range(count)]
        (place / f"{split}.csv").write_text("text,category\n" + "\n".join(rows) + "\n", encoding="utf-8")
    monkeypatch.setenv("GRAFTLM_DATA", str(tmp_path / "data"))
    return place


def cell(cut, row, seed, valid, test, **more):
    facts = {"parameters": {"trained": 5, "of": 1000}, "bundle_bytes": 4_000_000, "examples_per_second": 100.0}
    return {
        "cut": cut, "row": row, "seed": seed, "valid": valid, "test": test, "trial": False, "epochs": 3.0,
        "trained_peak_memory_bytes": 2**30, "train_seconds": 9.0, **facts, **more,
    }  # fmt: skip


def results(*found):
    return {"name": "methods", "cells": {f"{one['cut']}|{one['row']}|{one['seed']}": one for one in found}}


def test_rows_are_all_methods_and_losses(benchmark):
    rows = benchmark("methods").rows()
    assert len(set(rows)) == len(rows)
    assert set(rows) >= set(registry.names("method")) | set(registry.names("loss"))
    assert rows[0] == "full:head=random"


def test_a_row_says_what_is_fitted(benchmark):
    cells = benchmark("cells")
    (one,) = cells.steps("lora:rank=4+r_drop:alpha=0.5+train:optimizer.rate=0.001")
    assert one["method"] == [{"use": "lora", "rank": 4}]
    assert one["loss"] == [{"use": "r_drop", "alpha": 0.5}]
    assert one["settings"] == {"train.optimizer.rate": 0.001}
    first, then = cells.steps("supervised_contrastive/probe")
    assert (first["method"], first["loss"]) == (["full"], [{"use": "supervised_contrastive"}])
    assert (then["method"], then["loss"]) == ([{"use": "probe"}], None)
    with pytest.raises(SystemExit, match="'lorra' is neither"):
        cells.steps("lorra")


@pytest.mark.parametrize("count", [2, 5, 31])
def test_the_interval_is_students(benchmark, count):
    values = np.random.default_rng(0).normal(size=count).tolist()
    expected = stats.t.interval(0.95, count - 1, np.mean(values), stats.sem(values))
    assert benchmark("cells").interval(values) == pytest.approx(expected, abs=2e-2 if count > 30 else 1e-3)
    assert benchmark("cells").interval([1.0]) is None


def test_a_cut_draws_training_and_other_validation_rows_by_seed(benchmark, tmp_path, data):
    texts = benchmark("texts")
    path = str(data / "train.csv")
    files = texts.drawn(path, 4, 0, tmp_path)
    train, valid = texts.read(files["train"]), texts.read(files["valid"])
    for rows in (train, valid):
        assert sorted(label for _, label in rows) == sorted(["card", "loan", "rate"] * 4)
    assert not set(train) & set(valid)
    assert texts.read(texts.drawn(path, 4, 1, tmp_path)["train"]) != train
    assert len(texts.read(texts.drawn(path, 0.25, 0, tmp_path)["train"])) == 9
    assert len(texts.read(texts.drawn(path, 8, 0, tmp_path)["train"])) == 18  # half of each class


def test_two_processes_lose_no_cells(tmp_path):
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import pathlib, cells
kept = cells.Cells(pathlib.Path(sys.argv[2]), "t")
for n in range(40):
    with kept.changing() as results:
        results["cells"][f"{sys.argv[3]}{n}"] = {"n": n}
"""
    path = tmp_path / "t.json"
    asked = [[sys.executable, "-c", code, str(FOLDER), str(path), who] for who in "ab"]
    both = [subprocess.Popen(one) for one in asked]
    assert [one.wait(60) for one in both] == [0, 0]
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert len(kept["cells"]) == 80
    assert [one for one in tmp_path.iterdir() if one != path] == []


def test_a_cell_is_claimed_by_one(benchmark, tmp_path):
    kept = benchmark("cells").Cells(tmp_path / "t.json", "t")
    with kept.claimed("a") as first, kept.claimed("a") as second, kept.claimed("b") as other:
        assert (first, second, other) == (True, False, True)
    with kept.claimed("a") as again:
        assert again


def test_validation_rows_choose_and_fresh_seeds_confirm(benchmark):
    methods = benchmark("methods")
    found = results(
        *(cell("8", "full:head=random", seed, 0.80, 0.81) for seed in (0, 1)),
        *(cell("8", "full", seed, 0.84, 0.90) for seed in (0, 1)),
        *(cell("8", "mixup", seed, 0.86, 0.85) for seed in (0, 1)),
        cell("8", "sam", 0, 0.99, 0.99),  # not measured with both seeds
        *(cell("8", "full:head=random", seed, 0.1, 0.80) for seed in (100, 101, 102)),
        *(cell("8", "full", seed, 0.1, 0.84) for seed in (100, 101, 102)),
        *(cell("8", "mixup", seed, 0.1, 0.85 + 0.01 * (seed - 100)) for seed in (100, 101, 102)),
    )
    chosen = methods.choose(found, "8", [0, 1])
    assert (chosen["row"], chosen["of"]) == ("mixup", 3)
    confirmed = methods.confirm(found, "8", chosen, [100, 101, 102])
    plain = confirmed["against"]["full:head=random"]
    expected = stats.t.interval(0.95, 2, 0.06, stats.sem([0.05, 0.06, 0.07]))
    assert plain["mean"] == pytest.approx(0.06)
    assert plain["interval"] == pytest.approx(expected, abs=1e-4)
    found["confirmed"] = {"8": confirmed}
    methods.summarise(found, {"cpu": "a processor"})
    told = {check["what"]: check["reached"] for check in found["checks"]}
    assert told["chosen on validation rows over plain full fine-tuning, 8 rows a class: lower end of the interval"]
    assert told["lora below full on Banking77"] is None
    lines = found["summary"]["table"].splitlines()
    assert "| `mixup` | 2 | 86.0 | 85.0 [85.0, 85.0] | 0.00 M (0.5 %) | 4.0 | 100 | 1,024 | 9 |" in lines
    assert [line[:8] for line in lines if line.startswith("| `")][:2] == ["| `sam` ", "| `mixup"]
    assert any(line.startswith("Not measured yet: `probe`, ") for line in lines)
    assert "over `full:head=random` +6.00 points" in found["summary"]["table"]
    with pytest.raises(SystemExit, match="No row of the cut 'whole'"):
        methods.choose(found, "whole", [0])


def test_the_row_of_lora_is_the_one_that_the_validation_rows_choose(benchmark):
    methods = benchmark("methods")
    measured = results(
        cell("whole", "full", 0, 0.9, 0.93), cell("whole", "full", 1, 0.9, 0.95),
        cell("whole", "lora", 0, 0.90, 0.94), cell("whole", "lora", 1, 0.90, 0.94),
        cell("whole", "lora+train:epochs=6", 0, 0.91, 0.93), cell("whole", "lora+train:epochs=6", 1, 0.91, 0.93),
        cell("whole", "lora:rank=32", 0, 0.99, 0.99),  # one seed only
        cell("whole", "lora:merge=false", 0, 0.99, 0.99), cell("whole", "lora/probe", 0, 0.99, 0.99),
    )  # fmt: skip
    told = {check["what"]: check["value"] for check in methods.checks(measured)}
    assert told["lora+train:epochs=6 below full on Banking77"] == pytest.approx(1.0)


def test_lora_is_held_against_full_by_seed(benchmark):
    methods = benchmark("methods")
    found = results(
        cell("whole", "full", 0, 0.9, 0.93), cell("whole", "full", 1, 0.9, 0.95), cell("whole", "lora", 0, 0.9, 0.925)
    )
    gap, share, _ = methods.checks(found)
    assert gap["value"] == pytest.approx(0.5)
    assert gap["reached"]
    assert share["value"] == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("data")
def test_cells_are_measured_once_and_a_row_that_cannot_be_says_why(tmp_path):
    out = tmp_path / "methods.json"

    def run(*rows):
        asked = [sys.executable, str(FOLDER / "methods.py"), "--model", "tiny", "--threads", "1", "--out", str(out)]
        asked += ["--cut", "8", "--seeds", "0", "--methods", *rows]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=250)

    run("probe", "replay")
    first = json.loads(out.read_text(encoding="utf-8"))["cells"]
    told = run("probe", "replay", "supervised_contrastive:share=1+train:epochs=1/probe")
    kept = json.loads(out.read_text(encoding="utf-8"))
    second = kept["cells"]
    assert {key: second[key] for key in first} == first
    by_row = {one["row"]: one for one in second.values()}
    assert "it needs what is replayed" in by_row["replay"]["refused"]
    assert set(by_row["probe"]["baselines"]) == {"majority", "tfidf", "probe"}
    chain = by_row["supervised_contrastive:share=1+train:epochs=1/probe"]
    assert chain["epochs"] == 1
    assert chain["parameters"]["trained"] == chain["parameters"]["of"] > by_row["probe"]["parameters"]["trained"] > 0
    assert 0 <= chain["test"] <= 1
    assert kept["complete"] is False
    assert "it needs what is replayed" in told.stdout
