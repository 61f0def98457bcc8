"""Work ahead of training that a model does for many texts: cut into parts, each kept in the cache when it is done.

A run that was stopped goes on with the part that it was at; a later one with the same texts takes all from the cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from graftlm.core import cache, hashing, log

FORMAT = 1
PART = 512
"""Jobs that are done and kept together."""


def in_parts(
    kind: str, mark: Any, jobs: Sequence[Any], work: Callable[[Sequence[Any]], list[Any]], what: str
) -> list[Any]:
    """Return what `work` makes of each job, from the cache where it is there; jobs and results are JSON values.

    `kind` is the cache's word for them, `mark` stands for all that the results hang on beside the jobs, `what` is said
    while it goes on. Equal jobs have equal results, and are done once.
    """
    known: dict[str, Any] = {}
    open_jobs: dict[str, Any] = {}
    names = [hashing.of_value(job) for job in jobs]
    for name, job in zip(names, jobs, strict=True):
        open_jobs.setdefault(name, job)
    every = list(open_jobs)
    taken = 0
    for begin in range(0, len(every), PART):
        part = every[begin : begin + PART]
        key = hashing.of_value([FORMAT, mark, part])
        place = cache.find(kind, key)
        if place is not None:
            results = json.loads((place / "results.json").read_text(encoding="utf-8"))
            taken += len(part)
        else:
            results = work([open_jobs[name] for name in part])
            write = partial(_write, text=json.dumps(results, ensure_ascii=False))
            cache.put(kind, key, write, f"{what}, {len(part):,} texts")
        known.update(zip(part, results, strict=True))
        log.advance(what, begin + len(part), len(every))
    if taken:
        log.note(f"cache: {what}: {taken:,} of {len(every):,} texts are taken from an earlier run")
    return [known[name] for name in names]


def _write(folder: Path, text: str) -> None:
    (folder / "results.json").write_text(text, encoding="utf-8")
