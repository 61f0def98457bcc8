"""The benchmark scripts: help, a tiny run of each with the keys that readers of the JSON rely on, the page."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graftlm.core import registry

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = ("training_speed", "predict_speed", "main_job", "defaults", "head_start")
TINY = ("--model", "tiny", "--rows", "60", "--threads", "1")
CHECK = {"what", "value", "unit", "reach", "least", "reached"}
FACTS = {"cpu", "flags", "cores", "threads", "memory_bytes", "versions", "date", "commit", "load", "load_after"}


def run(name, *arguments):
    asked = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=300)


def measured(name, folder, *arguments):
    """Run a script on a random model; return the JSON that it printed, which must be what it wrote."""
    out = folder / f"{name}.json"
    ran = run(name, *TINY, "--out", out, *arguments)
    printed = json.loads(ran.stdout)
    assert printed == json.loads(out.read_text(encoding="utf-8"))
    assert printed["name"] == name
    assert printed["complete"] is False  # a random model on a few rows is a trial
    assert set(printed["machine"]) >= FACTS
    assert printed["checks"]
    for check in printed["checks"]:
        assert set(check) == CHECK
        if check["value"] is not None:
            fine = check["value"] >= check["reach"] if check["least"] else check["value"] <= check["reach"]
            assert check["reached"] is fine
    return printed


@pytest.fixture
def load(monkeypatch):
    """Import a module of the benchmarks by name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def module(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, made)  # dataclasses look themselves up there
        spec.loader.exec_module(made)
        return made

    yield module
    for name in ("harness", "texts", "fits", "cells", "task_speed"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "name",
    [
        *SCRIPTS,
        "run_all",
        "page",
        "tasks",
        "task_speed",
        "task_predict",
        "vectors_speed",
        "passes",
        "qa_accuracy",
        "methods",
        "forgetting",
        "joint",
    ],
)
def test_help(name):
    assert "usage" in run(name, "--help").stdout


def test_training_speed(tmp_path):
    found = measured("training_speed", tmp_path, "--seeds", 0, "--epochs", 1, "--no-default-baselines")
    (peer,), (ours,) = found["runs"]["trainer"], found["runs"]["graftlm"]
    assert found["summary"]["ratios"] == [ours["examples_per_second"] / peer["examples_per_second"]]
    assert peer["steps"] == ours["planned"]["steps"]
    assert peer["threads"] == 1
    assert peer["examples"] == 60
    for run_ in (peer, ours):
        assert 0 <= run_["accuracy"] <= 1
        assert 100e6 < run_["trained_peak_memory_bytes"] <= run_["peak_memory_bytes"] < 8e9
    assert found["summary"]["memory_ratio"] == ours["peak_memory_bytes"] / peer["peak_memory_bytes"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_training_speed_stops_both_sides_after_the_steps_asked_for(tmp_path):
    found = measured("training_speed", tmp_path, "--seeds", 0, "--steps", 3, "--no-default-baselines")
    assert found["runs"]["trainer"][0]["steps"] == 3
    assert found["runs"]["graftlm"][0]["planned"]["steps"] == 3
    assert found["summary"]["points_lower"] is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_predict_speed(tmp_path):
    found = measured("predict_speed", tmp_path, "--rounds", 1, "--passes", 1, "--epochs", 1)
    for label in ("pipeline_1", "pipeline_32", "graftlm_native", "encode_32", "graftlm_pooled", "graftlm_native_fp32"):
        assert found["runs"][label][0]["rows"] == 60
        assert found["summary"][label]["examples_per_second"] > 0
    for style in ("native", "pooled"):
        same = found["runs"]["agreement"][style]
        assert same["fp32"]["labels_equal"] == 1
        assert same["fp32"]["largest_relative_difference"] < 1e-4
        assert same["fp32"]["accuracy"] == same["plain_accuracy"]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(300)
def test_task_predict(tmp_path):
    found = measured("task_predict", tmp_path, "--tasks", "tagging", "--rounds", 1, "--passes", 1)
    (peer,), (ours,) = found["runs"]["tagging"]["peer"], found["runs"]["tagging"]["graft"]
    assert peer["rows"] == ours["rows"] == 60
    assert found["summary"]["tagging"]["ratios"] == [ours["examples_per_second"] / peer["examples_per_second"]]


def test_the_other_side_of_questions_scores_as_squads_script_does(load):
    qa = load("qa_accuracy")
    assert qa.f1("The cat, sat", ["a cat sat", "dog"]) == 1
    assert qa.f1("cat sat", ["cat"]) == pytest.approx(2 / 3)
    assert (qa.f1("", []), qa.f1("cat", [])) == (1, 0)
    asked = [{"answers": [{"text": "cat"}]}, {"answers": []}, {"answers": [{"text": "dog"}]}]
    # the higher, the rather nothing is answered: the first alone is
    assert qa.best_f1([("cat", -3.0), ("dog", 0.0), ("cow", 5.0)], asked) == pytest.approx(2 / 3)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_passes(tmp_path):
    found = measured("passes", tmp_path, "--methods", "sam", "label_smoothing", "--steps", 4)
    assert set(found["runs"]) == {"full", "sam", "label_smoothing"}
    assert len(found["runs"]["full"]) == 3
    assert found["summary"]["sam"]["passes"] == 2
    assert found["summary"]["sam"]["cost"] > 0
    assert [check["reach"] for check in found["checks"]] == [2.2, 1.1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_main_job(tmp_path):
    found = measured("main_job", tmp_path, "--seeds", 0, "--rounds", 1, "--epochs", 1, "--freeze-epochs", 2)
    summary = found["summary"]
    assert set(summary) == {"full", "refit", "probe", "freeze"}
    assert summary["full"]["by_seed"] == [found["runs"]["full"][0]["accuracy"]]
    assert summary["probe"]["seconds"] > 1  # a whole command, with the start of Python
    assert set(summary["full"]["baselines"]) == {"majority", "tfidf", "probe"}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_defaults(tmp_path):
    found = measured("defaults", tmp_path, "--sets", "sst2", "csl_category")
    assert set(found["summary"]) == {"sst2", "csl_category"}
    row = found["summary"]["sst2"]
    assert row["floor"] == pytest.approx(0.8127, abs=1e-4)
    assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    assert any("epochs, chosen for" in note for note in row["chosen"])
    assert row["verdict"] in ("helped", "no measurable difference", "negative transfer")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_head_start(tmp_path):
    arguments = ("--seeds", 0, "--epochs", 1, "--few-epochs", 1, "--few", 4)
    table = measured("head_start", tmp_path, *arguments)["summary"]["table"]
    assert [(row["rows_of_each_class"], row["epochs"]) for row in table] == [(None, 1.0), (4, 1.0)]
    for row in table:
        assert row["gain"] == pytest.approx(row["head_probe"] - row["head_random"])


def test_a_side_that_fails_says_why(load, tmp_path):
    harness = load("harness")
    with pytest.raises(harness.SideFailed, match="no such thing"):
        harness.command([sys.executable, "-c", "raise SystemExit('no such thing')"], threads=1)


def test_a_benchmark_that_is_stopped_leaves_no_side_behind(tmp_path):
    pid = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(120)"
    asked = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import harness
harness.start({{}}, lambda: harness.command([sys.executable, "-c", {child!r}], threads=1))
"""
    parent = subprocess.Popen([sys.executable, "-c", asked])
    until = time.monotonic() + 60
    while not (pid.is_file() and pid.read_text(encoding="utf-8")):
        assert time.monotonic() < until
        time.sleep(0.05)
    parent.terminate()
    assert parent.wait(60) == 143
    number = int(pid.read_text(encoding="utf-8"))
    while True:  # killed; gone as soon as whoever inherited it has taken note
        state = Path(f"/proc/{number}/stat")
        if not state.is_file() or state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            break
        assert time.monotonic() < until
        time.sleep(0.05)


def test_peak_memory_is_the_childs_own():
    # in a process of its own, as light as a benchmark's: a child's peak begins at what its parent holds
    asked = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import harness
for code in ("pass", "x = b'x' * 300_000_000"):
    print(harness.command([sys.executable, "-c", code], threads=1)["peak_memory_bytes"])
"""
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    small, large = map(int, ran.stdout.split())
    assert large - small == pytest.approx(300e6, rel=0.05)
    assert small < 40e6


def test_ratios_are_pair_by_pair(load):
    assert load("harness").ratios([10, 30], [5, 10]) == [2, 3]


@pytest.mark.parametrize(("value", "least", "reached"), [(7.0, True, True), (6.9, True, False), (7.1, False, False)])
def test_a_check_knows_its_direction(load, value, least, reached):
    assert load("harness").check("x", value, reach=7.0, least=least)["reached"] is reached


def test_rows_cut_for_a_trial_have_the_same_classes_in_each_split(load, tmp_path):
    texts = load("texts")
    rows = [(f"text {n}", f"class {n % 5}") for n in range(100)]
    files = {name: texts.write(tmp_path / f"all_{name}.csv", rows) for name in ("train", "test")}
    cut = texts.cut(files, 40, tmp_path)
    train, test = texts.read(cut["train"]), texts.read(cut["test"])
    assert {label for _, label in train} == {label for _, label in test} == {"class 0", "class 1"}
    assert len(train) == 40


def test_few_rows_of_each_class_are_drawn_by_seed(load, tmp_path):
    texts = load("texts")
    rows = [(f"text {n}", f"class {n % 5}") for n in range(100)]
    path = texts.write(tmp_path / "all.csv", rows)
    first, again, other = (texts.read(texts.few_of_each(path, 8, seed, tmp_path)) for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(label for _, label in first) == sorted(f"class {n}" for n in range(5) for _ in range(8))


def test_the_page_says_what_is_missing_and_what_is_a_trial(load):
    page = load("page")
    empty = "<!-- figures: head_start -->\n<!-- end -->\n<!-- figures: reached -->\n<!-- end -->\n"
    assert "Not measured yet" in page.filled(empty, {})
    row = {
        "rows_of_each_class": None, "epochs": 1.0, "head_probe": 0.926, "head_random": 0.867, "gain": 0.059,
        "gains": [0.059], "probe_alone": 0.93,
    }  # fmt: skip
    machine = {
        "cpu": "a processor", "flags": ["avx2"], "threads": 2, "cores": 2, "date": "2026-01-01T00:00:00",
        "versions": {"torch": "2.13", "transformers": "5.23"}, "commit": "abc", "load": 0.1, "load_after": 1.0,
    }  # fmt: skip
    check = {"what": "gain", "value": 5.9, "unit": "points", "reach": 0, "least": True, "reached": True}
    result = {"complete": False, "summary": {"table": [row]}, "machine": machine, "checks": [check]}
    filled = page.filled(empty, {"head_start": result})
    assert "| all | 1 | 92.6 | 86.7 | +5.9 (+5.9) | 93.0 |" in filled
    assert "A trial" in filled
    assert "| gain | 5.90 points (trial) | >= 0 points | yes |" in filled
    assert page.filled(filled, {"head_start": result}) == filled


def test_the_page_is_filled_from_the_results_that_are_kept():
    checked = subprocess.run([sys.executable, str(FOLDER / "page.py"), "--check"], check=False)
    assert checked.returncode == 0, "docs/benchmarks.md is not up to date: python benchmarks/page.py"


def test_results_of_tasks_are_merged_set_by_set_and_tabled(load, tmp_path):
    tasks = load("tasks")
    one = {
        "primary": {"name": "accuracy"}, "metrics": {"test": {"accuracy": {"value": 0.9}, "f1": {"value": 0.86}}},
        "baselines": {"tfidf": {"test": {"accuracy": {"value": 0.7}}}}, "timing": {"examples_per_second": 100.0},
        "machine": {"cpu": "a processor"},
    }  # fmt: skip
    other = {**one, "metrics": {"test": {"accuracy": {"value": 0.8}, "f1": {"value": 0.82}}}}
    path = tmp_path / "tasks.json"
    recipe = {"task": "pair", "reach": {"f1": 0.85}}
    tasks.keep(path, "mrpc", {"recipe": recipe, "trial": True, "runs": [one]})
    tasks.keep(path, "sick", {"recipe": {"task": "pair", "reach": {}}, "trial": True, "runs": [one]})
    tasks.keep(path, "mrpc", {"recipe": recipe, "trial": False, "runs": [one, other]})
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["complete"] is False
    assert [(check["what"], check["reached"]) for check in kept["checks"]] == [("mrpc: f1", False)]
    assert kept["machine"]["cpu"] == "a processor"
    told = kept["summary"]["table"].splitlines()
    assert "| mrpc | pair | test | f1 | 0.8400 | 0.85 (no) |  | 100 |" in told
    assert "| mrpc | pair | test | accuracy | 0.8500 |  | tfidf 0.7000 | 100 |" in told
    assert "| sick (trial) | pair | test | accuracy | 0.9000 |  | tfidf 0.7000 | 100 |" in told
    assert {one.task for one in tasks.SETS.values()} <= set(registry.names("task"))
