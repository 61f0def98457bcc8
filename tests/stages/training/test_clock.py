"""A clock that jumps: schedules, budgets and intervals go by a clock that nobody sets."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

from tests.test_pipeline import QUICK, TRAIN

import graftlm
from graftlm.core import cache
from graftlm.verbs.fitting import fit

PACKAGE = Path(graftlm.__file__).parent


def test_a_run_does_not_look_at_a_clock_that_jumps(tmp_path, monkeypatch):
    settings = {**QUICK["settings"], "train.save_every": "1h", "train.budget": "30m"}
    count = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1e9 * (next(count) % 2 + 1))  # thirty years to and fro
    run = fit(TRAIN, out=str(tmp_path / "run"), **{**QUICK, "settings": settings, "baselines": "none"})
    entries = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert entries[-1]["epoch"] == QUICK["epochs"]
    assert run.metrics["timing"]["examples_per_second"] > 0
    assert all(0 <= seconds < 1800 for seconds in run.metrics["timing"]["seconds"].values())


def test_entries_of_the_cache_outlive_a_clock_that_jumps(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path))
    monkeypatch.setattr(time, "time", lambda: -1e6)
    cache.put("tokens", "a" * 16, lambda folder: (folder / "x").write_text("1"))
    monkeypatch.setattr(time, "time", lambda: 1e12)
    cache.put("tokens", "b" * 16, lambda folder: (folder / "x").write_text("2"))
    assert cache.find("tokens", "a" * 16) is not None
    assert cache.find("tokens", "b" * 16) is not None


def test_nothing_but_the_age_of_a_file_is_told_by_the_clock_on_the_wall():
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\btime\.time\(|\btime\(\)|from time import", path.read_text(encoding="utf-8"))
    }
    assert found <= {"core/cache.py"}
