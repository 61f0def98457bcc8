"""The default recipe, nothing set by hand, on several data sets: accuracy, baselines, verdict, time.

Each data set is fitted with its own train, dev and test files, where it has them. `floor` is TF-IDF with a linear
SVM, untuned, measured on the same files and kept beside the data; `plain_loop` is the test accuracy that a plain
fine-tuning loop with the same model reached, one seed. Each run is kept as soon as it ends; sets that are not run
again keep theirs, unless what was kept was a trial.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import fits
import harness
import texts

NAME = "defaults"
SETS = ("banking77", "sst2", "ag_news", "clinc150", "tweeteval_emotion", "tweeteval_irony", "csl_category")
ENGLISH = SETS[:-1]
PLAIN_LOOP = {"sst2": 88.6, "tweeteval_emotion": 80.6, "tweeteval_irony": 70.4}
ABOVE_PROBE = ("sst2", "ag_news", "tweeteval_emotion", "tweeteval_irony")


def default(train: str, test: str, valid: str | None, model: str, seed: int) -> dict[str, Any]:
    """Fit as `graft fit train --valid dev --test test` does."""
    with tempfile.TemporaryDirectory() as folder:
        named = {"test": test} | ({"valid": valid} if valid else {})
        return fits.fit(train, folder=str(Path(folder, "run")), base=model, seed=seed, **named)


def floors() -> dict[str, dict[str, float]]:
    """Return the floor of each data set, from the index beside the data."""
    place = texts.folder()
    if place is None or not (place / "index.json").is_file():
        return {}
    index = json.loads((place / "index.json").read_text(encoding="utf-8"))
    return {name: index[name]["floor"][0] for name in SETS if index.get(name, {}).get("floor")}


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS, help="data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    began = harness.machine(given.threads)
    trial = given.rows is not None or given.model != "minilm"
    runs = {} if trial else kept(given.out or harness.RESULTS / f"{NAME}.json")
    for name in given.sets:
        with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
            files = texts.data_set(name)
            if given.rows:
                files = texts.cut(files, given.rows, Path(folder))
            found: list[dict[str, Any]] = []
            for seed in given.seeds:
                one = harness.side(
                    __file__, "default", threads=given.threads, train=files["train"], test=files["test"],
                    valid=files.get("valid"), model=given.model, seed=seed,
                )  # fmt: skip
                found.append({"seed": seed, "machine": began, **one})
                runs = {**runs, name: found}
                harness.say(f"{name}, seed {seed}: {100 * one['accuracy']:.2f} % in {one['process_seconds']:.0f} s")
                summary = summarise(runs, floors())
                harness.report(
                    NAME, given, began, complete=not trial and set(runs) == set(SETS), summary=summary,
                    checks=checks(summary), runs=runs, aloud=(name, seed) == (given.sets[-1], given.seeds[-1]),
                )  # fmt: skip


def kept(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the runs that lie in a file of results, by data set; none where they were a trial."""
    if not path.is_file():
        return {}
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["settings"]["rows"] is not None or result["settings"]["model"] != "minilm":
        return {}
    return dict(result["runs"])


def summarise(runs: dict[str, list[dict[str, Any]]], floor: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return one row for each data set: means over the seeds; interval, verdict and choices of the first."""

    def row(name: str, of: list[dict[str, Any]]) -> dict[str, Any]:
        first = of[0]
        return {
            "accuracy": harness.mean([run["accuracy"] for run in of]),
            "interval": first["interval"],
            "macro_f1": harness.mean([run["macro_f1"] for run in of]),
            "floor": floor.get(name, {}).get("acc"),
            "floor_macro_f1": floor.get(name, {}).get("f1"),
            "baselines": {
                baseline: harness.mean([run["baselines"][baseline]["test"] for run in of])
                for baseline in first["baselines"]
            },
            "baselines_on_validation_rows": {
                baseline: harness.mean([run["baselines"][baseline]["valid"] for run in of])
                for baseline in first["baselines"]
            },
            "verdict": first["transfer"]["verdict"],
            "against": first["transfer"]["against"],
            "cheaper": first["transfer"]["cheaper"],
            "sentence": first["transfer"]["sentence"],
            "epochs": first["planned"]["epochs"] if first["planned"] else None,
            "chosen": [note for note in first["notes"] if "chosen for" in note],
            "seconds": harness.median([run["process_seconds"] for run in of]),
            "examples_per_second": harness.median([run["examples_per_second"] for run in of]),
            "peak_memory_bytes": max(run["peak_memory_bytes"] for run in of),
            "language_warned": "language" in first["findings"],
        }

    return {name: row(name, of) for name, of in runs.items()}


def checks(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached, for the data sets that were run."""
    found = []
    for name, row in summary.items():
        value = 100 * row["accuracy"]
        if name in ENGLISH and row["floor"] is not None:
            found.append(harness.check(f"{name}: above its floor", value, reach=100 * row["floor"], unit="%"))
        if name in ABOVE_PROBE:
            reach = 100 * row["baselines"]["probe"]
            found.append(harness.check(f"{name}: above the frozen probe", value, reach=reach, unit="%"))
        if name in PLAIN_LOOP:
            found.append(harness.check(f"{name}: as good as a plain loop", value, reach=PLAIN_LOOP[name], unit="%"))
        if name not in ENGLISH:
            best = max(row["baselines_on_validation_rows"], key=row["baselines_on_validation_rows"].__getitem__)
            named = float(row["cheaper"] == best)
            found.append(harness.check(f"{name}: the verdict names the better baseline ({best})", named, reach=1))
            warned = float(row["language_warned"])
            found.append(harness.check(f"{name}: warned of a language the model hardly knows", warned, reach=1))
    return found


if __name__ == "__main__":
    harness.start({"default": default}, main)
