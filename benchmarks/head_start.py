"""Where the head of `full` starts: from the probe's solution or from random weights, on equal schedules.

Banking77 with all training rows for 1 and 4 epochs, and with 8 rows a class for 10 and 20. No rows are cut off
for validation, so that both sides train on the same rows and nobody picks an epoch; the test rows are answered
once, at the end. Seeds draw the few rows, the order of the rows, dropout and the random head alike on both sides.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "head_start"
HEADS = ("probe", "random")


def headed(train: str, test: str, model: str, head: str, epochs: float, seed: int) -> dict[str, Any]:
    """Fit all parameters from one kind of head; the probe alone is among the baselines."""
    with tempfile.TemporaryDirectory() as folder:
        return fits.fit(
            train, test=test, folder=str(Path(folder, "run")), base=model, seed=seed, epochs=epochs,
            method={"use": "full", "head": head}, settings={"data.split.valid": 0, "evaluate.baselines": ["probe"]},
        )  # fmt: skip


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, nargs="*", default=[1, 4], help="schedules with all rows")
    parser.add_argument("--few", type=int, default=8, help="rows of each class in the small set")
    parser.add_argument("--few-epochs", type=float, nargs="*", default=[10, 20], help="schedules with few rows")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if given.rows:
            files = texts.cut(files, given.rows, Path(folder))
        for rows, schedules in ((None, given.epochs), (given.few, given.few_epochs)):
            for epochs in schedules:
                for seed in given.seeds:
                    train = files["train"]
                    if rows is not None:
                        train = texts.few_of_each(train, rows, seed, Path(folder))
                    for head in HEADS:
                        one = harness.side(
                            __file__, "headed", threads=given.threads, train=train, test=files["test"],
                            model=given.model, head=head, epochs=epochs, seed=seed,
                        )  # fmt: skip
                        runs.append({"rows_of_each_class": rows, "epochs": epochs, "seed": seed, "head": head, **one})
                        said = f"{rows or 'all'} rows, {epochs:g} epochs, seed {seed}, head {head}"
                        harness.say(f"{said}: {100 * one['accuracy']:.2f} %")
    summary = {"table": summarise(runs)}
    harness.report(
        NAME, given, began, complete=given.rows is None and given.model == "minilm" and len(given.seeds) >= 3,
        summary=summary, checks=checks(summary["table"]), runs=runs,
    )  # fmt: skip


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for each schedule: accuracy of each head by seed and on average, their difference, the probe."""
    table = []
    for rows, epochs in dict.fromkeys((run["rows_of_each_class"], run["epochs"]) for run in runs):
        some = [run for run in runs if (run["rows_of_each_class"], run["epochs"]) == (rows, epochs)]
        by_head = {head: [run["accuracy"] for run in some if run["head"] == head] for head in HEADS}
        gains = [a - b for a, b in zip(by_head["probe"], by_head["random"], strict=True)]
        table.append(
            {
                "rows_of_each_class": rows,
                "epochs": epochs,
                "head_probe": harness.mean(by_head["probe"]),
                "head_random": harness.mean(by_head["random"]),
                "by_seed": by_head,
                "gain": harness.mean(gains),
                "gains": gains,
                "probe_alone": harness.mean([run["baselines"]["probe"]["test"] for run in some]),
            }
        )
    return table


def checks(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return whether the default head is not behind, for each schedule, by more than seeds differ."""
    found = []
    for row in table:
        rows = f"{row['rows_of_each_class']} rows a class" if row["rows_of_each_class"] else "all rows"
        what = f"head from the probe against a random head, {rows}, {row['epochs']:g} epochs: gain"
        found.append(harness.check(what, 100 * row["gain"], reach=0, unit="points"))
    return found


if __name__ == "__main__":
    harness.start({"headed": headed}, main)
