"""The run's log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from graftlm.core import log


def test_each_event_is_one_json_line(tmp_path):
    run = log.RunLog(tmp_path / "deep" / "log.jsonl")
    run.write("start", text="zwei\nZeilen 文", where=Path("a/b"))
    run.write("end", loss=0.5)
    lines = run.path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"event": "start", "text": "zwei\nZeilen 文", "where": "a/b"}
    assert json.loads(lines[1]) == {"event": "end", "loss": 0.5}
    assert len(lines) == 2


def test_a_second_log_on_the_same_file_appends(tmp_path):
    log.RunLog(tmp_path / "log.jsonl").write("one")
    log.RunLog(tmp_path / "log.jsonl").write("two")
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_a_line_that_a_killed_run_left_half_written_spoils_no_other(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "one"}\n{"event": "tw')
    log.RunLog(path).write("three")
    assert json.loads(path.read_text().splitlines()[-1]) == {"event": "three"}


def test_notes_and_warnings_reach_who_listens(caplog):
    with caplog.at_level(logging.INFO, logger="graftlm"):
        log.note("chose bf16")
        log.warn("two classes are missing")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "chose bf16"),
        ("WARNING", "two classes are missing"),
    ]
