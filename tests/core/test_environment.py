"""Settings of the process: what a busy machine changes, and what the user has said."""

from __future__ import annotations

import sys

import pytest

from graftlm.core import environment

IDLE, BUSY = "0.00 0.01 0.05 1/300 4242\n", "2.10 1.80 1.20 3/300 4242\n"


@pytest.fixture
def process(tmp_path, monkeypatch):
    """A process that has not imported torch yet, on a machine with the given load."""

    def make(load, **said):
        path = tmp_path / "loadavg"
        path.write_text(load)
        monkeypatch.setattr(environment, "_LOAD", path)
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in said.items():
            monkeypatch.setenv(name, value)
        environment.neighbours.cache_clear()
        environment.settle()
        return dict(environment.os.environ)

    yield make
    environment.neighbours.cache_clear()


def test_threads_sleep_beside_other_programs_alone(process):
    assert process(BUSY)["GOMP_SPINCOUNT"] == environment.SPINS
    assert "GOMP_SPINCOUNT" not in process(IDLE)


def test_what_the_user_has_said_stays(process):
    assert process(BUSY, GOMP_SPINCOUNT="7")["GOMP_SPINCOUNT"] == "7"
    assert "GOMP_SPINCOUNT" not in process(BUSY, OMP_WAIT_POLICY="active")


@pytest.mark.parametrize("load", ["", "none of it", "0 0 0 x/1 1"])
def test_a_system_that_does_not_tell_changes_nothing(process, load):
    assert "GOMP_SPINCOUNT" not in process(load)
