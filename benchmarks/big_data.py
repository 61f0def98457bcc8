"""A million rows of CSV: reading, checking and tokenising for the first time and for the second.

Each start is a fresh process, as a user's is; the cache begins empty. `start` is the time from the beginning of the
process to the first training step being ready: data read, checked, tokenised, the model loaded. Peak memory is that
of the whole process.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import fits
import harness

NAME = "big_data"


def write(path: Path, rows: int, seed: int) -> None:
    """Write rows of some 150 characters with one of eight labels."""
    rng = random.Random(seed)  # noqa: S311
    words = ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 9))) for _ in range(4000)]
    with path.open("w", encoding="utf-8") as out:
        out.write("text,label\n")
        for number in range(rows):
            out.write(f"{' '.join(rng.choices(words, k=22))} {number},label {number % 8}\n")


def start(train: str, model: str, base: str, cache: str) -> dict[str, Any]:
    """Read, check, encode and assemble, as a fit does before its first step."""
    began = time.monotonic()
    os.environ["GRAFTLM_CACHE"] = cache
    from graftlm import pipeline
    from graftlm.stages.training.assembling import assemble
    from graftlm.stages.training.encoding import encode
    from graftlm.verbs.arguments import recipe_of

    recipe, given = recipe_of(train, base=base)
    checked = pipeline.check(recipe, given, opened=recipe.backbone.open_on)
    told = {"checked": time.monotonic() - began, "checked_peak_bytes": fits.peak()}
    rows, opened = checked.dataset.splits["train"], checked.base
    space = recipe.task.space(rows)
    encoded = encode(rows, recipe.task, opened.tokenizer, space, checked.limit)
    told |= {"encoded": time.monotonic() - began, "encoded_peak_bytes": fits.peak()}
    built = assemble(opened, recipe.backbone, recipe.task, space, seed=0)
    batch = encoded.packed.batch(range(32), 0)
    assert batch["input_ids"].shape[0] == 32
    assert built.module is not None
    return told | {
        "ready": time.monotonic() - began, "whole_peak_bytes": fits.peak(), "rows": len(rows),
        "tokens": encoded.tokens, "ready_cpu": sum(os.times()[:2]),
    }  # fmt: skip


def predict(bundle: str, source: str) -> dict[str, Any]:
    """Answer a file from end to end; return the peak memory after a tenth of its rows, and after all of them."""
    from graftlm.verbs.predicting import predict as answers

    count, early = 0, 0
    for count, _ in enumerate(answers(bundle, source, precision="fp32"), 1):
        if count == 20_000:
            early = fits.peak()
    return {"rows": count, "early_peak_bytes": early, "whole_peak_bytes": fits.peak()}


def trained(folder: Path, train: Path) -> str:
    """Train the tiny model on a few rows: how much memory answering takes does not depend on what was learnt."""
    from graftlm.verbs.fitting import fit

    part = folder / "part.csv"
    with train.open(encoding="utf-8") as rows:
        part.write_text("".join(row for row, _ in zip(rows, range(401), strict=False)), encoding="utf-8")
    run = fit(str(part), base="tiny", baselines="none", out=str(folder / "run"), settings={"train.epochs": 1})
    return str(run.folder)


SIDES = {"start": start, "predict": predict}


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="rows of the file")
    parser.add_argument("--no-predict", dest="predict", action="store_false", help="leave answering the file out")
    given = parser.parse_args()
    began = harness.machine(given.threads)
    runs = []
    with tempfile.TemporaryDirectory(prefix="graftlm-bench-") as folder:
        path = Path(folder, "rows.csv")
        write(path, given.count, 0)
        size = path.stat().st_size
        for name in ("first", "second"):
            one = harness.side(
                __file__, "start", threads=given.threads, train=str(path), model=given.model, base=given.model,
                cache=str(Path(folder, "cache")),
            )  # fmt: skip
            runs.append({"name": name, **one})
            harness.say(f"{name}: checked {one['checked']:.1f} s, ready {one['ready']:.1f} s, "
                        f"{one['ready_cpu']:.1f} s of processor, "
                        f"{one['encoded_peak_bytes'] / 2**20:.0f} MiB tokenised, "
                        f"{one['whole_peak_bytes'] / 2**20:.0f} MiB ready")  # fmt: skip
        answered = {}
        if given.predict:
            asked = {"bundle": trained(Path(folder), path), "source": str(path)}
            answered = harness.side(__file__, "predict", threads=given.threads, **asked)
            harness.say(f"predict: {answered}")
    summary = {
        "bytes": size, "first_ready": runs[0]["ready"], "second_ready": runs[1]["ready"],
        "first_cpu": runs[0]["ready_cpu"], "second_cpu": runs[1]["ready_cpu"],
        "tokenised_peak_bytes": runs[0]["encoded_peak_bytes"],
        "first_peak_bytes": runs[0]["whole_peak_bytes"], "second_peak_bytes": runs[1]["whole_peak_bytes"],
        "predict": answered,
    }  # fmt: skip
    harness.report(
        NAME, given, began, complete=given.count >= 1_000_000 and given.model == "minilm", summary=summary,
        checks=[
            harness.check("second start, seconds", summary["second_ready"], reach=10, least=False),
            harness.check("second start, seconds of processor", summary["second_cpu"], reach=10, least=False),
            harness.check("read, checked and tokenised: peak memory, MiB", summary["tokenised_peak_bytes"] / 2**20,
                          reach=600, least=False),
        ],
        runs={"starts": runs},
    )  # fmt: skip


if __name__ == "__main__":
    harness.start(SIDES, main)
