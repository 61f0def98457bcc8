"""What a step of each method costs beside a step of plain fine-tuning: seconds of the processor, by its passes.

    python benchmarks/passes.py
    python benchmarks/passes.py --methods sam mixout --steps 60 --rounds 3

A method that goes forward and backward k times should cost no more than k plain steps and a tenth; one that draws a
mask for each weight no more than 1.8 steps. Rows, batches and rates are the same, each fit has a process of its own,
and plain fits stand between the others. Seconds are those of the processor, the first step left out: what else runs on
the machine changes them less.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import cells
import fits
import harness
import texts

NAME, PLAIN = "passes", "full"
BATCH, MORE, MASKS = 32, 1.1, 1.8
PASSES = {"fgm": 2, "sam": 2, "awp": 2, "pgd": 4, "freelb": 3, "smart": 3, "r_drop": 2}
"""Passes of a step by what each method says of itself, where they are more than one."""
MASKED = ("mixout",)
"""Methods that draw a mask for every weight at each step."""
ROWS = (
    "fgm", "sam", "awp", "pgd", "freelb", "smart", "r_drop", "mixout", "child_tuning", "neftune", "rec_adam", "l2_sp",
    "ema", "swa", "layerwise_rates", "gradual_unfreezing", "focal", "label_smoothing", "supervised_contrastive",
    "mixup", "lora", "dora", "ia3", "bottleneck", "bias_only",
)  # fmt: skip


def fit(row: str, seed: int, steps: int, model: str, rows: int | None) -> dict[str, Any]:
    """Train some steps of a row; return updates a second by the processor's clock."""
    (asked,) = cells.steps(row)
    settings = {"data.split.valid": 0, "train.save_every": 1e9, "train.optimizer.rate": 1e-5, **asked["settings"]}
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if rows:
            files = texts.cut(files, rows, Path(folder))
        per_epoch = math.ceil(len(texts.read(files["train"])) / BATCH)
        found = fits.fit(
            files["train"], folder=str(Path(folder, "run")), seed=seed, batch_size=BATCH, baselines="none",
            base="minilm" if model == "minilm" else fits.model_folder(model, Path(folder)),
            epochs=(steps - 0.01) / per_epoch, method=asked["method"], settings=settings,
            **({"loss": asked["loss"]} if asked["loss"] else {}),
        )  # fmt: skip
    return {key: found[key] for key in ("cpu_steps_per_second", "examples_per_second", "planned")}


def most(row: str) -> float:
    """Return how many plain steps a step of a row may cost."""
    name = row.partition(":")[0]
    return MASKS if name in MASKED else PASSES.get(name, 1) * MORE


def main() -> None:
    """Measure in turns, and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(ROWS), metavar="ROW", help="rows to measure")
    parser.add_argument("--steps", type=int, default=30, help="updates of each fit")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    began = harness.machine(given.threads)
    shared = {"seed": 0, "steps": given.steps, "model": given.model, "rows": given.rows}
    plain = [harness.side(__file__, "fit", threads=given.threads, row=PLAIN, **shared)]
    runs: dict[str, list[dict[str, Any]]] = {PLAIN: plain}
    ratios: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for row in given.methods:
            mine = harness.side(__file__, "fit", threads=given.threads, row=row, **shared)
            plain.append(harness.side(__file__, "fit", threads=given.threads, row=PLAIN, **shared))
            runs.setdefault(row, []).append(mine)
            beside = harness.mean([one["cpu_steps_per_second"] for one in plain[-2:]])
            ratios.setdefault(row, []).append(beside / mine["cpu_steps_per_second"])
            harness.say(f"{row}: {ratios[row][-1]:.2f} plain steps (at most {most(row):.2f})")
    summary = {
        row: {"cost": harness.median(found), "costs": found, "passes": PASSES.get(row.partition(":")[0], 1)}
        for row, found in ratios.items()
    }
    checks = [
        harness.check(f"{row}: plain steps that one step costs", one["cost"], reach=most(row), least=False)
        for row, one in summary.items()
    ]
    complete = given.rows is None and given.model == "minilm" and given.steps >= 30
    harness.report(NAME, given, began, complete=complete, summary=summary, checks=checks, runs=runs)


if __name__ == "__main__":
    harness.start({"fit": fit}, main)
