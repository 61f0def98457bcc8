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
    checked = pipeline.check(recipe, given, opened=recipe.backbone.open)
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
        "tokens": encoded.tokens,
    }  # fmt: skip


SIDES = {"start": start}


def main() -> None:
    """Measure and report."""
    parser = harness.options(__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="rows of the file")
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
                        f"{one['whole_peak_bytes'] / 2**20:.0f} MiB")  # fmt: skip
    summary = {
        "bytes": size, "first_ready": runs[0]["ready"], "second_ready": runs[1]["ready"],
        "first_peak_bytes": runs[0]["whole_peak_bytes"], "second_peak_bytes": runs[1]["whole_peak_bytes"],
    }  # fmt: skip
    harness.report(
        NAME, given, began, complete=given.count >= 1_000_000 and given.model == "minilm", summary=summary,
        checks=[
            harness.check("second start, seconds", summary["second_ready"], reach=10, least=False),
            harness.check("peak memory, MiB", summary["first_peak_bytes"] / 2**20, reach=600, least=False),
        ],
        runs={"starts": runs},
    )  # fmt: skip


if __name__ == "__main__":
    harness.start(SIDES, main)
