"""Results that are measured cell by cell: each is kept at once, several processes may fill one file, intervals.

A row of such a table is written as PART+PART, each part a method, a loss or a section of the recipe with its fields:
`lora:rank=4`, `full:head=random+r_drop`, `full+train:optimizer.rate=1e-4`. Without a method it is `full`. `A/B` fits A,
then B from A's bundle on the same rows.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
Results = dict[str, Any]

SECTIONS = ("train", "remember")
QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""The 0.975 quantile of Student's t with 1 to 30 degrees of freedom."""


def names(kind: str) -> list[str]:
    """Return the plug-ins of a kind."""
    from graftlm.core import registry

    return list(registry.names(kind))


def steps(row: str) -> list[dict[str, Any]]:
    """Return the arguments of each fit of a row.

    Raises:
        SystemExit: a part is neither a method nor a loss.
    """
    return [_step(text) for text in row.split("/")]


def _step(text: str) -> dict[str, Any]:
    import yaml

    methods: list[Any] = []
    losses: list[Any] = []
    settings: dict[str, Any] = {}
    known, terms = names("method"), names("loss")
    for part in text.split("+"):
        name, *pairs = part.split(":")
        fields = {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        if name in SECTIONS:
            settings |= {f"{name}.{key}": value for key, value in fields.items()}
        elif name in known:
            methods.append({"use": name, **fields})
        elif name in terms:
            losses.append({"use": name, **fields})
        else:
            raise SystemExit(f"'{name}' is neither a method ({', '.join(known)}) nor a loss ({', '.join(terms)}).")
    return {"method": methods or ["full"], "loss": losses or None, "settings": settings}


class Cells:
    """The file of a table: read again before each write, written whole, under a lock."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> Results:
        """Return the results that there are."""
        if not self.path.is_file():
            return {"name": self.name, "cells": {}}
        found: Results = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    @contextlib.contextmanager
    def changing(self) -> Iterator[Results]:
        """Give the results as they are now, and write what became of them; others wait."""
        with lock(str(self.path.resolve()), wait=True):
            results = self.read()
            yield results
            part = self.path.with_suffix(f".part{os.getpid()}")
            part.write_text(text(results), encoding="utf-8")
            part.replace(self.path)

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[bool]:
        """Tell whether no other process measures this cell now; the claim ends with the process at latest."""
        with lock(f"{self.path.resolve()}|{key}", wait=False) as mine:
            yield mine


@contextlib.contextmanager
def lock(name: str, *, wait: bool) -> Iterator[bool]:
    """Hold what a name stands for alone, in all processes of this machine; tell whether it is held."""
    mark = hashlib.sha256(name.encode()).hexdigest()[:16]
    with Path(tempfile.gettempdir(), f"graftlm-bench-{mark}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def text(results: Results) -> str:
    """Return results as JSON, each cell on a line of its own."""
    cells = results.get("cells", {})
    lines = [f"    {json.dumps(key)}: {json.dumps(cells[key], ensure_ascii=False)}" for key in sorted(cells)]
    rest = {**results, "cells": "CELLS"}
    inner = "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"
    whole = json.dumps(rest, indent=2, ensure_ascii=False, sort_keys=True)
    return whole.replace('"CELLS"', inner, 1) + "\n"


def reason(fault: BaseException, *, last: bool = False) -> str:
    """Return what a fault says in one line, its last one where asked, without the folders of this machine."""
    lines = str(fault).strip().splitlines() or [type(fault).__name__]
    told = " ".join(" ".join(lines[-1:] if last else lines).split())
    return re.sub(r"(/[\w.+=-]+)+/([\w.+=-]+)", r"\2", told)


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that there are, or None."""
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    freedom = len(values) - 1
    quantile = QUANTILES[freedom - 1] if freedom <= len(QUANTILES) else 1.96
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    centre = statistics.fmean(values)
    return centre - half, centre + half


def differences(one: Mapping[int, float], other: Mapping[int, float]) -> dict[str, Any]:
    """Return the differences of two rows by the seeds that both have, their mean and its interval."""
    seeds = sorted(set(one) & set(other))
    found = [one[seed] - other[seed] for seed in seeds]
    return {"seeds": seeds, "differences": found, "mean": mean(found), "interval": interval(found)}


def points(value: float | None, digits: int = 1) -> str:
    """Return a share in percent, or that there is none."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """Return mean and interval in percent."""
    between = interval(values)
    shown = points(mean(values))
    return shown if between is None else f"{shown} [{points(between[0])}, {points(between[1])}]"


def told(difference: Mapping[str, Any]) -> str:
    """Return a difference of two rows in points, with its interval."""
    if difference["mean"] is None:
        return "no common seeds"
    between = difference["interval"]
    said = f"{100 * difference['mean']:+.2f} points"
    if between is not None:
        said += f" [{100 * between[0]:+.2f}, {100 * between[1]:+.2f}]"
    return f"{said} over {len(difference['seeds'])} seeds"


def not_possible(cell: Mapping[str, Any]) -> str | None:
    """Return one line about a cell that has no figures, None where it has them."""
    fault = cell.get("failed") or cell.get("refused")
    return f"not possible: {fault}" if fault else None
