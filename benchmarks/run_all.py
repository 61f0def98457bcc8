"""Every benchmark, one after the other, on an otherwise idle machine; prints figure, reach, reached yes or no.

Results lie in results/, and docs/benchmarks.md is filled from them. `--quick` gives ratios in a quarter of the
time and says `trial` beside what was not measured as its target asks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import harness
import page

QUICK = {
    "training_speed": ["--steps", "150", "--seeds", "0", "--rounds", "3"],
    "predict_speed": ["--epochs", "1", "--rounds", "1"],
    "main_job": ["--seeds", "0", "--freeze-epochs", "2", "--rounds", "1"],
    "defaults": ["--sets", "sst2", "tweeteval_emotion", "csl_category"],
    "head_start": ["--seeds", "0", "--epochs", "1", "--few-epochs", "10"],
    "tasks": ["--sets", "mrpc", "sick"],
    "qa_accuracy": ["--epochs", "2"],
    "task_speed": ["--tasks", "tagging", "pair"],
    "task_predict": ["--tasks", "tagging", "--rounds", "1"],
    "vectors_speed": ["--seeds", "0"],
    "passes": ["--methods", "sam", "mixout"],
    "methods": ["--methods", "probe", "full:head=random", "full", "lora", "--seeds", "0"],
    "forgetting": ["--methods", "full", "replay", "wise_ft", "--seeds", "0", "--rows", "3000"],
    "joint": ["--seeds", "0"],
    "faults": ["--kills", "5", "--saving-kills", "20"],
    "fuzz_readers": ["--cases", "2000"],
    "big_data": ["--count", "100000", "--no-predict"],
    "busy_machine": ["--rounds", "1"],
}


def main() -> int:
    """Run, fill the page, print the table; the exit code is 1 if a script failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer seeds, rounds, steps and data sets")
    parser.add_argument(
        "--only", nargs="+", default=list(page.BLOCKS), choices=list(page.BLOCKS), help="scripts to run"
    )
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of the results there are")
    parser.add_argument("--threads", type=int, default=harness.cores(), help="threads of each side")
    parser.add_argument("--results", type=Path, default=harness.RESULTS, help="folder of the results")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="options handed on to every script")
    given = parser.parse_args()
    failed = []
    for name in [] if given.table else given.only:
        began = time.monotonic()
        harness.say(f"== {name}")
        out = given.results / f"{name}.json"
        asked = [
            "--threads",
            str(given.threads),
            "--out",
            str(out),
            *(QUICK[name] if given.quick else []),
            *given.extra,
        ]
        done = subprocess.run([sys.executable, str(harness.HERE / f"{name}.py"), *asked], stdout=subprocess.DEVNULL)
        harness.say(f"== {name}: {time.monotonic() - began:.0f} s, exit code {done.returncode}")
        if done.returncode:
            failed.append(name)
    results = page.read(given.results)
    if given.results == harness.RESULTS and page.PAGE.is_file():
        page.PAGE.write_text(page.filled(page.PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    print(page.reached(results), end="")
    if failed:
        harness.say(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
