"""Processes: a run on two processes against the same run on one, step by step, with dropout 0 in fp32.

The losses of the steps must be equal to 1e-5, and the processes must use each row of a batch once.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import fits
import harness

NAME = "processes"
BATCH = 32
ROWS = """
import json, os, sys
from graftlm.core import processes
from graftlm.stages.training.loop import Loop
inner = Loop.micro_batches
def noted(loop, rows):
    out = inner(loop, rows)
    with open(f"{sys.argv[1]}/rows-{processes.place().rank}.jsonl", "a") as lines:
        lines.write(json.dumps([loop.step, [int(row) for batch in out for row in batch.rows]]) + "\\n")
    return out
Loop.micro_batches = noted
from graftlm.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


def without_dropout(folder: str, place: Path) -> str:
    """Copy a checkpoint with its dropout set to 0; return the copy's folder."""
    copy = place / "base"
    copy.mkdir()
    for file in Path(folder).iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config |= {key: 0.0 for key in config if "dropout" in key and isinstance(config[key], float)}
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(copy)


def losses(out: Path) -> list[float]:
    """Return the loss of each step."""
    found = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [entry["step"] for entry in found]
    if steps != list(range(1, len(steps) + 1)):
        raise harness.SideFailed(f"not every step was told: {steps}")
    return [entry["loss"] for entry in found]


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--steps", type=int, default=30, help="steps of the run")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    rows = given.rows or 321  # a last batch of one row: one process has none in it
    per_epoch = -(-rows // BATCH)
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        place = Path(folder)
        words = ("my card is lost", "send money abroad", "a flight and a hotel")
        lines = [f"{words[n % 3]} {'please ' * (n % 7)}{n},{'abc'[n % 3]}" for n in range(rows + 9)]
        for name, part in (("train", lines[:rows]), ("valid", lines[rows:])):
            (place / f"{name}.csv").write_text("text,label\n" + "\n".join(part) + "\n", encoding="utf-8")
        base = without_dropout(fits.model_folder(given.model, place), place)
        settings = {
            "train.precision": "fp32", "train.batch_size": BATCH, "train.epochs": given.steps / per_epoch,
            "train.evaluate_every": 0.5 / per_epoch, "evaluate.resamples": 100,
        }  # fmt: skip
        asked = ["fit", str(place / "train.csv"), "--valid", str(place / "valid.csv"), "--base", base]
        asked += ["--device", "cpu", "--baselines", "none"]
        asked += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        runs: dict[str, Any] = {}
        seen: Counter[tuple[int, int]] = Counter()
        for name, launcher in (
            ("one", [sys.executable]),
            ("two", [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]),
        ):
            script, notes = place / "noted.py", place / f"rows-{name}"
            script.write_text(ROWS, encoding="utf-8")
            notes.mkdir()
            threads = given.threads if name == "one" else max(1, given.threads // 2)
            done = harness.command(
                [*launcher, str(script), str(notes), *asked, "--out", str(place / name)], threads=threads
            )
            speed = json.loads((place / name / "metrics.json").read_text(encoding="utf-8"))["timing"]
            runs[name] = {"losses": losses(place / name), "seconds": done["process_seconds"], "timing": speed}
            harness.say(f"{name}: {runs[name]['seconds']:.1f} s")
            for file in notes.iterdir():
                for line in file.read_text(encoding="utf-8").splitlines():
                    step, used = json.loads(line)
                    seen.update((step, row) if name == "one" else (-step - 1, row) for row in used)
    apart = max(abs(a - b) for a, b in zip(runs["one"]["losses"], runs["two"]["losses"], strict=True))
    one = sorted((step, row) for step, row in seen.elements() if step >= 0)
    two = sorted((-step - 1, row) for step, row in seen.elements() if step < 0)
    checks = [
        harness.check("largest difference of a step's loss", apart, reach=1e-5, least=False),
        harness.check("rows of the steps are the same, none twice", float(one == two), reach=1.0),
    ]
    speeds = {name: run["timing"]["examples_per_second"] for name, run in runs.items()}
    summary = {"difference": apart, "steps": len(runs["one"]["losses"]), "examples_per_second": speeds}
    harness.report(
        NAME,
        given,
        began,
        complete=given.model == "minilm" and not given.rows,
        summary=summary,
        checks=checks,
        runs=runs,
    )  # fmt: skip


if __name__ == "__main__":
    main()
