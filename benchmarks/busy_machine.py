"""How fast a model answers beside a program that keeps one processor busy, by how torch's threads wait for each other.

GNU OpenMP's own default against what `graft` sets beside other programs (core/environment.py): batches of 32 x 16
tokens through all-MiniLM-L6-v2, alone and with a neighbour, in turns, each time in a fresh process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import harness

NAME = "busy_machine"
BATCHES = 30


def answer(model: str) -> dict[str, Any]:
    """Return the batches that a second brings."""
    import torch

    from graftlm.core import registry

    base = registry.make("backbone", model).open()
    module = base.build("AutoModel").eval()
    ids = torch.randint(5, 200, (32, 16))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        module(ids)
        began = time.monotonic()
        for _ in range(BATCHES):
            module(ids)
    return {"batches_per_second": BATCHES / (time.monotonic() - began)}


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    from graftlm.core import environment

    began = harness.machine(given.threads)
    runs: list[dict[str, Any]] = []
    for _ in range(given.rounds):
        for busy in (False, True):
            neighbour = (
                subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) if busy else None
            )
            try:
                for spins in (None, environment.SPINS):
                    os.environ.pop("GOMP_SPINCOUNT", None)
                    if spins is not None:
                        os.environ["GOMP_SPINCOUNT"] = spins
                    one = harness.side(__file__, "answer", threads=given.threads, model=given.model)
                    runs.append({"busy": busy, "spins": spins, **one})
                    harness.say(f"busy {busy}, spins {spins}: {one['batches_per_second']:.2f} batches/s")
            finally:
                if neighbour is not None:
                    neighbour.kill()
                    neighbour.wait()
    summary: dict[str, Any] = {}
    for busy, name in ((False, "alone"), (True, "busy")):
        rates = {
            key: [run["batches_per_second"] for run in runs if run["busy"] == busy and run["spins"] == spins]
            for key, spins in (("default", None), ("ours", environment.SPINS))
        }
        ratios = harness.ratios(rates["ours"], rates["default"])
        summary[name] = {key: harness.median(values) for key, values in rates.items()} | {"ratios": ratios}
    checks = [
        harness.check(
            "beside a busy program, threads that sleep against OpenMP's default",
            harness.median(summary["busy"]["ratios"]),
            reach=2,
            unit="times",
        )  # fmt: skip
    ]
    complete = given.model == "minilm" and given.rounds >= 3
    harness.report(NAME, given, began, complete=complete, summary=summary, checks=checks, runs=runs)


if __name__ == "__main__":
    harness.start({"answer": answer}, main)
