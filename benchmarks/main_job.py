"""The main job on Banking77: accuracy of the default recipe, the probe as a whole command, `freeze` against `full`.

`full` with the default recipe, validation rows cut from the training rows, with and without `--refit`; the test
rows are looked at once, at the end. The probe is timed as a user waits for it: the command line from its start to
its end, baselines and report included. `freeze` of 4 blocks and `full` run in turns, timed from the second epoch.

Parts that are not measured again keep their result.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "main_job"


def full(train: str, test: str, model: str, seed: int, refit: bool, epochs: float | None) -> dict[str, Any]:
    """Fit with the default recipe."""
    with tempfile.TemporaryDirectory() as folder:
        return fits.fit(
            train, test=test, folder=str(Path(folder, "run")), base=model, seed=seed, refit=refit, epochs=epochs
        )


def by_epoch(train: str, model: str, method: str, epochs: int, seed: int) -> dict[str, Any]:
    """Fit for some epochs; return examples/s of the training steps from the second epoch on."""
    chosen = {"use": "freeze", "layers": 1 if model == "tiny" else 4} if method == "freeze" else {"use": method}
    with tempfile.TemporaryDirectory() as folder:
        found = fits.fit(
            train, folder=str(Path(folder, "run")), base=model, method=chosen, seed=seed, epochs=epochs,
            baselines="none", settings={"train.save_every": 1e9},
        )  # fmt: skip
    ends = {round(one["epoch"]): one["examples_per_second"] for one in found["epoch_ends"]}
    # examples/s count all steps until then, each epoch has the same rows: so these are its seconds for one row
    spent = {epoch: epoch / speed for epoch, speed in ends.items()}
    return {
        **found,
        "first_epoch": ends[1],
        "from_second_epoch": (epochs - 1) / (spent[epochs] - spent[1]),
        "train_seconds": found["timing"]["seconds"]["train"],
    }


def probe(train: str, test: str, model: str, threads: int) -> dict[str, Any]:
    """Run the command and wait for it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        ran = harness.command(
            [
                sys.executable, "-m", "graftlm", "fit", train, "--test", test, "--method", "probe", "--base", model,
                "--out", str(out),
            ],
            threads=threads,
            folder=Path(folder),
        )  # fmt: skip
        metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    found = metrics["metrics"]["test"]["accuracy"]
    return {
        "accuracy": found["value"],
        "interval": [found["low"], found["high"]],
        "seconds": ran["process_seconds"],
        "peak_memory_bytes": ran["peak_memory_bytes"],
        "stages": metrics["timing"]["seconds"],
        "transfer": metrics["transfer"],
    }


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, help="epochs of the full runs; default: the recipe's own choice")
    parser.add_argument("--freeze-epochs", type=int, default=3, help="epochs of the runs of freeze and full in turns")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of freeze and full, and runs of the probe")
    parser.add_argument(
        "--parts", nargs="+", default=["probe", "freeze", "full", "refit"],
        choices=["probe", "freeze", "full", "refit"], help="what to measure",
    )  # fmt: skip
    given = parser.parse_args()
    if given.freeze_epochs < 2:
        parser.error("--freeze-epochs must be at least 2: the second epoch is what is timed")
    began = harness.machine(given.threads)
    runs = {} if given.rows or given.model != "minilm" else kept(given)
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        files = texts.data_set("banking77")
        if given.rows:
            files = texts.cut(files, given.rows, Path(folder))
        if "probe" in given.parts:
            for _ in range(given.rounds):
                one = probe(files["train"], files["test"], given.model, given.threads)
                runs.setdefault("probe", []).append(one)
                harness.say(f"probe: {100 * one['accuracy']:.2f} % in {one['seconds']:.1f} s")
        if "freeze" in given.parts:
            for number in range(given.rounds):
                for method in ("full", "freeze"):
                    one = harness.side(
                        __file__, "by_epoch", threads=given.threads, train=files["train"], model=given.model,
                        method=method, epochs=given.freeze_epochs, seed=number,
                    )  # fmt: skip
                    runs.setdefault(f"{method}_by_epoch", []).append(one)
                    harness.say(f"{method}: {one['from_second_epoch']:.0f} examples/s from the second epoch")
        for part in ("full", "refit"):
            for seed in given.seeds if part in given.parts else ():
                one = harness.side(
                    __file__, "full", threads=given.threads, train=files["train"], test=files["test"],
                    model=given.model, seed=seed, refit=part == "refit", epochs=given.epochs,
                )  # fmt: skip
                runs.setdefault(part, []).append({"seed": seed, **one})
                harness.say(f"{part}, seed {seed}: {100 * one['accuracy']:.2f} %")
    for found in runs.values():
        for one in found:
            one.setdefault("measured", {key: began[key] for key in ("date", "threads", "commit", "load")})
    summary = summarise(runs)
    whole = given.rows is None and given.epochs is None and given.model == "minilm"
    harness.report(
        NAME, given, began, complete=whole and all(len(runs.get(part, "123")) >= 3 for part in ("full", "refit")),
        summary=summary, checks=checks(summary), runs=runs,
    )  # fmt: skip


def kept(given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Return the measurements that there are of parts that are not asked for."""
    path = given.out or harness.RESULTS / f"{NAME}.json"
    if not path.is_file():
        return {}
    again = {f"{part}{end}" for part in given.parts for end in ("", "_by_epoch")}
    if "freeze" in given.parts:
        again.add("full_by_epoch")
    elif "full" in given.parts:
        again.remove("full_by_epoch")
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return {name: found for name, found in runs.items() if name not in again}


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return means over the seeds, medians over the rounds."""
    found: dict[str, Any] = {}
    for part in ("full", "refit"):
        if part in runs:
            values = [run["accuracy"] for run in runs[part]]
            found[part] = {
                "accuracy": harness.mean(values),
                "by_seed": values,
                "intervals": [run["interval"] for run in runs[part]],
                "examples_per_second": harness.median([run["examples_per_second"] for run in runs[part]]),
                "process_seconds": harness.median([run["process_seconds"] for run in runs[part]]),
                "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs[part]),
                "verdicts": [run["transfer"]["sentence"] for run in runs[part]],
                "baselines": {
                    name: harness.mean([run["baselines"][name]["test"] for run in runs[part]])
                    for name in runs[part][0]["baselines"]
                },
            }
    if "probe" in runs:
        found["probe"] = {
            "accuracy": harness.mean([run["accuracy"] for run in runs["probe"]]),
            "interval": runs["probe"][0]["interval"],
            "seconds": harness.median([run["seconds"] for run in runs["probe"]]),
            "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs["probe"]),
        }
    if "freeze_by_epoch" in runs:
        speeds = {m: [run["from_second_epoch"] for run in runs[f"{m}_by_epoch"]] for m in ("freeze", "full")}
        pairs = harness.ratios(speeds["freeze"], speeds["full"])
        found["freeze"] = {
            "ratio_from_second_epoch": harness.median(pairs),
            "ratios": pairs,
            "train_seconds": {
                m: harness.median([run["train_seconds"] for run in runs[f"{m}_by_epoch"]]) for m in ("freeze", "full")
            },
        }
    return found


def checks(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached, for what was measured."""
    found = []
    for part, words in (("full", "default recipe"), ("refit", "default recipe with --refit")):
        if part in summary:
            what = f"fit --method full, {words}: mean test accuracy"
            found.append(harness.check(what, 100 * summary[part]["accuracy"], reach=93.0, unit="%"))
    if "probe" in summary:
        what = "fit --method probe: test accuracy"
        found.append(harness.check(what, 100 * summary["probe"]["accuracy"], reach=92.5, unit="%"))
        what = "fit --method probe: the whole command"
        found.append(harness.check(what, summary["probe"]["seconds"], reach=60, least=False, unit="s"))
    if "freeze" in summary:
        what = "freeze of 4 blocks of 6 against full, examples/s from the second epoch"
        found.append(harness.check(what, summary["freeze"]["ratio_from_second_epoch"], reach=3, unit="times"))
    return found


if __name__ == "__main__":
    harness.start({"full": full, "by_epoch": by_epoch}, main)
