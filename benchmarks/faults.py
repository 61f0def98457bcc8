"""Faults: runs killed at random moments and while a checkpoint is written, then resumed; damaged checkpoints.

A killed run must end, after --resume, with the weights of the unbroken run, bit for bit; a checkpoint with one
flipped byte, or cut off somewhere, must be refused by a message that names the file.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fits
import harness

NAME = "faults"


def data(path: Path, rows: int) -> str:
    """Write rows of three classes."""
    words = {"card": "my card is lost", "money": "send money abroad", "trip": "a flight and a hotel"}
    labels = [list(words)[n % 3] for n in range(rows)]
    lines = [f"{words[label]} {n},{label}" for n, label in enumerate(labels)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def command(train: str, base: str, out: Path) -> list[str]:
    """Return the command of a run of 60 steps that saves a checkpoint every four."""
    settings = {"train.epochs": 15, "train.batch_size": 16, "train.evaluate_every": 1, "data.split.valid": 0.1}
    asked = [sys.executable, "-m", "graftlm", "fit", train, "--base", base, "--out", str(out), "--baselines", "none"]
    return asked + [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def weights(out: Path) -> dict[str, bytes]:
    """Return the weight files of a finished run."""
    return {path.name: path.read_bytes() for path in sorted((out / "bundle").rglob("*.safetensors"))}


def killed(asked: list[str], out: Path, seconds: float | None, threads: int, log: Path) -> bool:
    """Kill a run after some seconds, or (None) as soon as it writes a checkpoint; tell whether it was still alive."""
    with log.open("w") as said:
        process = subprocess.Popen(asked, stdout=said, stderr=said, env=harness.environment(threads))
        until = time.monotonic() + (600.0 if seconds is None else seconds)
        chance = random.random()
        while process.poll() is None and time.monotonic() < until:
            if seconds is None and list((out / "checkpoints").glob(".step-*.tmp")) and random.random() < chance:
                break
            time.sleep(0.0005 if seconds is None else 0.01)
        alive = process.poll() is None
        process.kill()
        process.wait()
    return alive


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments")
    parser.add_argument("--saving-kills", type=int, default=200, help="kills while a checkpoint is written")
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--truncations", type=int, default=100)
    given = parser.parse_args()
    random.seed(0)
    began = harness.machine(given.threads)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        place = Path(folder)
        train, base = data(place / "train.csv", given.rows or 71), fits.model_folder(given.model, place)
        whole = harness.command(command(train, base, place / "whole"), threads=given.threads)
        expected, long = weights(place / "whole"), whole["process_seconds"]
        for kind in ["random"] * given.kills + ["saving"] * given.saving_kills:
            out = place / "run"
            shutil.rmtree(out, ignore_errors=True)
            asked = command(train, base, out)
            at = random.uniform(0, long) if kind == "random" else None
            alive = killed(asked, out, at, given.threads, place / "said.txt")
            finished = (out / "metrics.json").is_file()
            saved = len(list((out / "checkpoints").glob("step-*/manifest.json")))
            if not finished:
                harness.command([*asked, *(["--resume"] if out.is_dir() else [])], threads=given.threads)
            runs.append({"kind": kind, "at": at, "killed": alive, "saved": saved, "equal": weights(out) == expected})
            harness.say(f"{kind}: {runs[-1]}")
        refused = damaged(place, given.flips, given.truncations)
    checks = []
    for kind, reach in (("random", given.kills), ("saving", given.saving_kills)):
        same = sum(run["equal"] for run in runs if run["kind"] == kind and run["killed"])
        checks.append(harness.check(f"kill -9, {kind}: resumed to equal weights", same, reach=reach))
    many = given.flips + given.truncations
    checks.append(harness.check("damaged checkpoints refused, naming the file", refused, reach=many))
    complete = given.model == "minilm" and given.kills >= 50 and given.saving_kills >= 200 and many >= 600
    harness.report(NAME, given, began, complete=complete, summary={"seconds": long}, checks=checks, runs=runs)


def damaged(place: Path, flips: int, truncations: int) -> int:
    """Damage a checkpoint again and again; return how often it was refused by a message that names the file."""
    import torch

    from graftlm.core.errors import BundleError
    from graftlm.stages.training.checkpoints import Checkpoints

    store = Checkpoints(place / "damaged", keep=1)
    store.save(1, {"tensors": {"a": torch.randn(5000)}, "facts": {"step": 1}}, fingerprint="x", best=True)
    files = sorted(path for path in (place / "damaged" / "step-00000001").iterdir())
    refused = 0
    for number in range(flips + truncations):
        file = random.choice(files)
        held = file.read_bytes()
        where = random.randrange(len(held))
        file.write_bytes(
            held[:where]
            + (bytes([held[where] ^ (1 << random.randrange(8))]) + held[where + 1 :] if number < flips else b"")
        )
        try:
            store.load(1)
        except BundleError as fault:
            refused += file.name in str(fault) or "manifest" in file.name
        file.write_bytes(held)
    return refused


if __name__ == "__main__":
    harness.start({}, main)
