"""The estimate of `graft check --memory` against the measured peak of the same fit.

Each configuration is checked and fitted in processes of its own on rows of Banking77, without baselines. The measured
peak is the largest resident size of the process that fits, from its start to its end.

    python benchmarks/memory.py [--rows 384] [--only full-32-bf16 ...]

prints JSON: for each configuration estimate, peak and their quotient.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "src" / "graftlm" / "samples" / "banking77" / "train.csv.gz"
CASES: dict[str, tuple[str, ...]] = {
    "full-8-fp32": ("train.batch_size=8", "train.precision=fp32"),
    "full-8-fp32-sgd": ("train.batch_size=8", "train.precision=fp32", "train.optimizer.use=sgd"),
    "full-32-bf16": ("train.precision=bf16",),
    "full-128-fp32": ("train.batch_size=128", "train.precision=fp32"),
    "full-128-bf16": ("train.batch_size=128", "train.precision=bf16"),
    "freeze-32-fp32": ("methods=freeze", "methods.0.layers=4", "train.precision=fp32"),
    "lora-32-bf16": ("methods=lora", "train.precision=bf16"),
    "lora-128-fp32": ("methods=lora", "train.batch_size=128", "train.precision=fp32"),
    "probe": ("methods=probe", "train.precision=fp32"),
}
WITHIN = 0.25


def graft(verb: str, *words: str) -> str:
    """Run a verb in a process of its own; return what it printed."""
    done = subprocess.run([sys.executable, "-m", "graftlm", verb, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"graft {verb} {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


def measure(settings: tuple[str, ...], rows: int) -> dict[str, Any]:
    """Return the estimate and the measured peak of one configuration, in bytes, and estimate / peak."""
    usual = (f"data.limit={rows}", "data.bad_rows=keep", "train.epochs=1")
    words = [str(DATA), "--column", "label=category"]
    words += [part for one in (*usual, *settings) for part in ("--set", one)]
    found = json.loads(graft("check", *words, "--memory", "--json"))["memory"]
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        graft("fit", *words, "--out", out, "--baselines", "none", "--set", "evaluate.resamples=100")
        timing = json.loads((Path(out) / "metrics.json").read_text(encoding="utf-8"))["timing"]
    estimate, peak = found["peak_memory_bytes"], timing["peak_memory_bytes"]
    return {"estimate": estimate, "peak": peak, "quotient": round(estimate / peak, 3), "parts": found["parts"]}


def main() -> None:
    """Measure all cases, or those named, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=384)
    parser.add_argument("--only", nargs="*", choices=list(CASES))
    given = parser.parse_args()
    found = {}
    for name in given.only or CASES:
        found[name] = measure(CASES[name], given.rows)
        one = found[name]
        print(
            f"{name}: {one['estimate'] / 2**20:,.0f} MiB estimated, {one['peak'] / 2**20:,.0f} measured",
            file=sys.stderr,
        )
    print(json.dumps({"rows": given.rows, "within": WITHIN, "cases": found}, indent=2))


if __name__ == "__main__":
    main()
