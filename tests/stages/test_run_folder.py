"""The run folder: one process at a time, and no lock that outlives its process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from graftlm.core.errors import UserError
from graftlm.stages import run_folder

HOLDS = """
import sys, time
from pathlib import Path
from graftlm.stages import run_folder
with run_folder.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_gone_even_killed(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="Another run is at work in"), run_folder.locked(tmp_path):
            raise AssertionError("held twice")
        first.send_signal(signal.SIGKILL)
    with run_folder.locked(tmp_path):
        pass


def test_the_lock_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with run_folder.locked(tmp_path):
            pass


def test_a_folder_that_holds_the_lock_alone_is_empty(tmp_path):
    from graftlm.recipe import Recipe

    with run_folder.locked(tmp_path / "run"):
        pass
    recipe = Recipe(out=str(tmp_path / "run"))
    assert run_folder.examine(recipe, resume=False) == tmp_path / "run"
    (tmp_path / "run" / "mine.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match=r"it holds 'mine.txt'\) and is not a run"):
        run_folder.examine(recipe, resume=False)


def test_a_run_that_came_and_went_since_the_folder_was_examined_is_not_written_over(tmp_path):
    from graftlm.recipe import Recipe

    recipe = Recipe(out=str(tmp_path / "run"))
    assert run_folder.examine(recipe, resume=False) == tmp_path / "run"
    with run_folder.locked(tmp_path / "run"):  # the other one, which began at the same moment
        run_folder.prepare(recipe, tmp_path / "run")
        (tmp_path / "run" / "checkpoints").mkdir()
    with run_folder.locked(tmp_path / "run"), pytest.raises(UserError, match="already holds a run"):
        run_folder.prepare(recipe, tmp_path / "run")


def test_a_run_that_was_refused_before_it_trained_is_in_nobodys_way(tmp_path):
    from graftlm.recipe import Recipe

    folder = tmp_path / "run"
    with run_folder.locked(folder):
        run_folder.prepare(Recipe(out=str(folder)), folder)
        (folder / run_folder.DATA).write_text("{}", encoding="utf-8")
    mended = Recipe(out=str(folder), train={"epochs": 2})
    assert run_folder.examine(mended, resume=False) == folder
    for more in ("checkpoints", "bundle", "metrics.json"):
        (folder / more).mkdir()
        with pytest.raises(UserError, match="already holds a run"):
            run_folder.examine(mended, resume=False)
        (folder / more).rmdir()
