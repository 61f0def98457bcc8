"""snips in one model against each alone: gaps by seed, checks, and cells that are measured once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def joint(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import joint as module

    yield module
    for name in ("joint", "cells", "harness", "texts"):
        sys.modules.pop(name, None)


def cell(which, seed, size, trial=False, **figures):
    tasks = {name: {"test": {"value": value}} for name, value in figures.items()}
    return {
        "fit": which, "seed": seed, "trial": trial, "tasks": tasks, "bundle_bytes": size, "examples_per_second": 100.0,
        "train_seconds": 10.0,
    }  # fmt: skip


def test_gaps_are_taken_seed_by_seed(joint):
    found = {"cells": {str(n): one for n, one in enumerate([
        cell("intent", 0, 100, intent=0.98), cell("intent", 1, 100, intent=0.99), cell("intent", 2, 100, intent=0.90),
        cell("slots", 0, 100, slots=0.95), cell("slots", 1, 100, slots=0.95),
        cell("joint", 0, 104, intent=0.985, slots=0.94), cell("joint", 1, 104, intent=0.991, slots=0.945),
        cell("joint+tasks.slots.weight=2", 1, 104, intent=0.98, slots=0.94),
        cell("joint:pcgrad", 0, 104, intent=0.5, slots=0.5), cell("joint", 1, 1, True, intent=0.1, slots=0.1),
        {"fit": "joint", "seed": 9, "trial": False, "failed": "why"},
    ])}}  # fmt: skip
    joint.summarise(found, {"cpu": "a processor"})
    gaps = found["summary"]["gaps"]["joint"]
    assert gaps["intent"]["mean"] == pytest.approx(0.003)
    assert gaps["slots"]["mean"] == pytest.approx(-0.0075)
    weighed = found["summary"]["gaps"]["joint+tasks.slots.weight=2"]  # a weight is nothing to a task alone
    assert (weighed["intent"]["mean"], weighed["slots"]["mean"]) == pytest.approx((-0.01, -0.01))
    expected = stats.t.interval(0.95, 1, -0.0075, stats.sem([-0.01, -0.005]))
    assert gaps["slots"]["interval"] == pytest.approx(expected, abs=1e-4)
    told = {check["what"]: (check["value"], check["reached"]) for check in found["checks"]}
    assert told["snips intent: together below alone"] == (pytest.approx(-0.3), True)
    assert told["snips slots: together below alone"] == (pytest.approx(0.75), False)
    assert told["snips: the joint bundle against both alone"] == (pytest.approx(0.52), True)
    assert found["complete"] is False
    assert "* `joint:pcgrad`: intent -48.00 points over 1 seeds" in found["summary"]["table"]


def test_nothing_measured_is_said(joint):
    found = {"cells": {}}
    joint.summarise(found, {})
    assert found["summary"]["table"] == "Not measured yet.\n"
    assert {check["reached"] for check in found["checks"]} == {None}


def test_a_fit_names_its_balancer(joint):
    assert joint.balancer("joint") == {"use": "fixed"}
    assert joint.balancer("joint:dwa:temperature=1.5") == {"use": "dwa", "temperature": 1.5}


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(300)
def test_cells_are_measured_once(tmp_path):
    out = tmp_path / "joint.json"

    def run(*fits):
        asked = [sys.executable, str(FOLDER / "joint.py"), "--model", "tiny", "--rows", "60", "--threads", "1"]
        asked += ["--set", "train.epochs=1", "--seeds", "0", "--out", str(out), "--fits", *fits]
        return json.loads(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=250).stdout)

    first = run("intent")["cells"]
    found = run("intent", "slots", "joint:uncertainty")
    assert {key: found["cells"][key] for key in first} == first
    assert sorted(one["fit"] for one in found["cells"].values()) == [
        "intent+train.epochs=1", "joint:uncertainty+train.epochs=1", "slots+train.epochs=1",
    ]  # fmt: skip
    assert all(one["tasks"] for one in found["cells"].values())
    assert found["summary"]["gaps"]["joint:uncertainty+train.epochs=1"]["slots"]["seeds"] == [0]
