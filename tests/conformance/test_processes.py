"""Every method and loss on two processes: the losses of one where nothing is left to chance, and equal weights."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> list[dict]:
    """Return what each of two processes has found."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo"}
    script = str(Path(__file__).with_name("together.py"))
    running = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(port), str(folder / f"{rank}.json")],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=800)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]


def _held_against_one(key: str, found: list[dict]) -> None:
    first, second = (each[key] for each in found)
    if "refused" in first:
        pytest.skip(first["refused"])
    assert first["equal"]
    assert second["equal"], "the processes end with other weights"
    assert first["together"] == second["together"]
    assert all(math.isfinite(loss) for loss in first["together"])
    if not first["chance"] and not first["compares"]:  # rows with each other: then shares are as micro-batches
        assert first["together"] == pytest.approx(first["one"], abs=1e-5)


def test_methods(method_name, found):
    _held_against_one(f"method {method_name}", found)


def test_losses(loss_name, found):
    _held_against_one(f"loss {loss_name}", found)
