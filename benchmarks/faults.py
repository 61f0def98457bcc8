"""Faults: runs killed at random moments and while a checkpoint is written, then resumed; damaged files.

A killed run must end, after --resume, with the weights of the unbroken run, bit for bit, having used each training
row once an epoch; a checkpoint or bundle with one flipped byte, or cut off somewhere, must be refused by a message
that names the file. Runs are forked from a process that has loaded the libraries, so that only their work takes time;
they are whole `graft fit` commands, and are killed by SIGKILL.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import fits
import harness

NAME = "faults"
EPOCHS, BATCH = 15, 16


def data(path: Path, rows: int) -> str:
    """Write rows of three classes."""
    words = {"card": "my card is lost", "money": "send money abroad", "trip": "a flight and a hotel"}
    labels = [list(words)[n % 3] for n in range(rows)]
    lines = [f"{words[label]} {n},{label}" for n, label in enumerate(labels)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def command(train: str, base: str, out: Path) -> list[str]:
    """Return the arguments of a run of 60 steps that saves a checkpoint every four."""
    settings = {"train.epochs": EPOCHS, "train.batch_size": BATCH, "train.evaluate_every": 1, "data.split.valid": 0.1}
    asked = ["fit", train, "--base", base, "--out", str(out), "--baselines", "none"]
    return asked + [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def weights(out: Path) -> dict[str, bytes]:
    """Return the weight files of a finished run."""
    return {path.name: path.read_bytes() for path in sorted((out / "bundle").rglob("*.safetensors"))}


def work(arguments: list[str], log: Path, samples: Path) -> None:
    """Be one `graft` command, in a process of its own; note the rows of each step beside it."""
    from graftlm.cli.main import main
    from graftlm.stages.training.loop import Loop

    with log.open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    update = Loop.update

    def noted(loop: Any) -> Any:
        with samples.open("a") as lines:
            lines.write(json.dumps([loop.step, sorted(map(int, loop.rows_of(loop.step)))]) + "\n")
        return update(loop)

    Loop.update = noted  # type: ignore[method-assign]
    os._exit(main(arguments))


class Runner:
    """Starts commands as forked processes."""

    def __init__(self, place: Path) -> None:
        self.log, self.samples = place / "said.txt", place / "samples.jsonl"
        self.context = multiprocessing.get_context("fork")

    def begin(self, arguments: list[str]) -> Any:
        """Start a command."""
        process = self.context.Process(target=work, args=(arguments, self.log, self.samples))
        process.start()
        return process

    def whole(self, arguments: list[str]) -> float:
        """Run a command to its end; return its seconds."""
        began = time.monotonic()
        process = self.begin(arguments)
        process.join()
        if process.exitcode:
            raise harness.SideFailed(f"{arguments} ended with {process.exitcode}:\n{self.log.read_text()[-3000:]}")
        return time.monotonic() - began

    def killed(self, arguments: list[str], out: Path, seconds: float | None) -> bool:
        """Kill a command after some seconds, or (None) while it saves; tell whether it was still alive."""
        process = self.begin(arguments)
        until = time.monotonic() + (600.0 if seconds is None else seconds)
        skip = random.randrange(12) if seconds is None else 0
        seen: set[str] = set()
        while process.is_alive() and time.monotonic() < until:
            if seconds is None:
                writing = {path.name for path in (out / "checkpoints").glob(".step-*.tmp")}
                seen |= writing
                if writing and len(seen) > skip:
                    break
            time.sleep(0.0003 if seconds is None else 0.005)
        alive = process.is_alive()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return alive


def sampled(samples: Path, rows: int) -> str | None:
    """Return what is wrong with the rows of the steps, or None: a step made again has the same, an epoch each once."""
    steps: dict[int, list[int]] = {}
    for line in samples.read_text().splitlines():
        step, used = json.loads(line)
        if steps.setdefault(step, used) != used:
            return f"step {step} was made again with other rows"
    per_epoch = -(-rows // BATCH)
    if sorted(steps) != list(range(per_epoch * EPOCHS)):
        return f"{len(steps)} steps of {per_epoch * EPOCHS}"
    epochs: dict[int, list[int]] = defaultdict(list)
    for step, used in steps.items():
        epochs[step // per_epoch] += used
    wrong = [epoch for epoch, used in epochs.items() if sorted(used) != list(range(rows))]
    return f"epoch {wrong[0]} has a row twice or not at all" if wrong else None


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--kills", type=int, default=50, help="kills at random moments, of the model")
    parser.add_argument(
        "--saving-kills", type=int, default=200, help="kills while a checkpoint is written, of a tiny one"
    )
    parser.add_argument("--flips", type=int, default=500)
    parser.add_argument("--truncations", type=int, default=100)
    given = parser.parse_args()
    os.environ |= harness.environment(given.threads)
    random.seed(0)
    began = harness.machine(given.threads)
    import sklearn.linear_model  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import graftlm.pipeline  # noqa: F401

    torch.set_num_threads(given.threads)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        place = Path(folder)
        train, runner = data(place / "train.csv", 71), Runner(place)
        for kind, model, many in (("random", given.model, given.kills), ("saving", "tiny", given.saving_kills)):
            base = "minilm" if model == "minilm" else fits.model_folder(model, place)
            expected, long, rows = unbroken(runner, train, base, place)
            for number in range(many):
                out = place / "run"
                shutil.rmtree(out, ignore_errors=True)
                runner.samples.unlink(missing_ok=True)
                asked = command(train, base, out)
                at = random.uniform(0, long) if kind == "random" else None
                alive = runner.killed(asked, out, at)
                finished = (out / "metrics.json").is_file()
                saved = len(list((out / "checkpoints").glob("step-*/manifest.json")))
                if not finished:
                    runner.whole([*asked, *(["--resume"] if out.is_dir() else [])])
                fault = sampled(runner.samples, rows)
                one = {"kind": kind, "at": at, "killed": alive, "finished": finished, "saved": saved, "samples": fault}
                runs.append({**one, "equal": weights(out) == expected})
                harness.say(f"{kind} {number + 1} of {many}: {runs[-1]}")
        refused = {
            "checkpoint": damaged_checkpoint(place, given.flips // 2, given.truncations // 2),
            "bundle": damaged_bundle(place, given.flips - given.flips // 2, given.truncations - given.truncations // 2),
        }
    report(given, began, runs, refused)


def unbroken(runner: Runner, train: str, base: str, place: Path) -> tuple[dict[str, bytes], float, int]:
    """Return the weights, the seconds and the training rows of a run that nothing happens to; its bundle is kept."""
    out = place / "whole"
    shutil.rmtree(out, ignore_errors=True)
    runner.whole(command(train, base, out))
    shutil.rmtree(out)
    long = runner.whole(command(train, base, out))  # once more, with what a first run puts into caches
    rows = json.loads((out / "data.json").read_text(encoding="utf-8"))["counts"]["train"]["kept"]
    return weights(out), long, rows


def report(given: Any, began: Any, runs: list[dict[str, Any]], refused: dict[str, int]) -> None:
    """Print and keep what was found."""
    checks = []
    for kind, reach in (("random", given.kills), ("saving", given.saving_kills)):
        of = [run for run in runs if run["kind"] == kind]
        same = sum(run["equal"] for run in of)
        checks.append(harness.check(f"kill -9, {kind}: ended with equal weights", same, reach=reach))
        clean = sum(run["samples"] is None for run in of)
        checks.append(harness.check(f"kill -9, {kind}: each row once an epoch", clean, reach=reach))
    many = given.flips + given.truncations
    checks.append(harness.check("damaged files refused, naming the file", sum(refused.values()), reach=many))
    complete = given.model == "minilm" and given.kills >= 50 and given.saving_kills >= 200 and many >= 600
    by_kind = {kind: [run for run in runs if run["kind"] == kind] for kind in ("random", "saving")}
    summary = {
        "refused": refused,
        "alive_when_killed": {kind: sum(run["killed"] for run in of) for kind, of in by_kind.items()},
        "killed_after_a_checkpoint": {
            kind: sum(run["killed"] and run["saved"] > 0 for run in of) for kind, of in by_kind.items()
        },
    }
    harness.report(NAME, given, began, complete=complete, summary=summary, checks=checks, runs=runs)


def damage(files: list[Path], number: int, flips: int) -> tuple[Path, bytes]:
    """Flip a bit of a file, or cut it off; return it with what it held."""
    file = random.choice(files)
    held = file.read_bytes()
    where = random.randrange(len(held))
    rest = bytes([held[where] ^ (1 << random.randrange(8))]) + held[where + 1 :] if number < flips else b""
    file.write_bytes(held[:where] + rest)
    return file, held


def damaged_checkpoint(place: Path, flips: int, truncations: int) -> int:
    """Damage a checkpoint again and again; return how often it was refused by a message that names the file."""
    import torch

    from graftlm.core.errors import BundleError
    from graftlm.stages.training.checkpoints import Checkpoints

    store = Checkpoints(place / "damaged", keep=1)
    store.save(1, {"tensors": {"a": torch.randn(5000)}, "facts": {"step": 1}}, fingerprint="x", best=True)
    files = sorted(path for path in (place / "damaged" / "step-00000001").iterdir())
    refused = 0
    for number in range(flips + truncations):
        file, held = damage(files, number, flips)
        try:
            store.load(1)
        except BundleError as fault:
            refused += file.name in str(fault) or "manifest" in file.name
        file.write_bytes(held)
    return refused


def damaged_bundle(place: Path, flips: int, truncations: int) -> int:
    """Damage the bundle of the tiny run again and again; return how often it was refused, the file named."""
    from graftlm import bundle
    from graftlm.core.errors import BundleError

    folder = place / "whole" / "bundle"
    listed = json.loads((folder / "graft.json").read_text(encoding="utf-8"))["files"]
    files = [folder / name for name in listed] + [folder / "graft.json"]
    refused = 0
    for number in range(flips + truncations):
        file, held = damage(files, number, flips)
        try:
            bundle.load(bundle.open_bundle(folder))
        except BundleError as fault:
            refused += file.name in str(fault)
        file.write_bytes(held)
    return refused


if __name__ == "__main__":
    if "--side" in sys.argv:
        raise SystemExit("this script has no sides")
    harness.start({}, main)
