"""Where the benchmarks find their data, and plain readers for the sides that are not GraftLM."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

Row = tuple[str, str]


def folder() -> Path | None:
    """Return the folder of public data sets that GRAFTLM_DATA names, or None."""
    named = os.environ.get("GRAFTLM_DATA")
    return Path(named) if named else None


def data_set(name: str) -> dict[str, str]:
    """Return the files of a data set by split: train, test and, where it has one, valid."""
    place = folder()
    if name == "banking77":
        if place and (place / name / "raw" / "train.csv").is_file():
            return {split: str(place / name / "raw" / f"{split}.csv") for split in ("train", "test")}
        from graftlm import samples

        return {split: str(samples.path(name, split)) for split in ("train", "test")}
    own = place_of(name)
    files = {"train": "train.jsonl", "valid": "dev.jsonl", "test": "test.jsonl"}
    return {split: str(own / file) for split, file in files.items() if (own / file).is_file()}


def place_of(name: str) -> Path:
    """Return the folder of a public data set."""
    place = folder()
    if place is None or not (place / name).is_dir():
        raise SystemExit(f"'{name}' is not here: GRAFTLM_DATA must name the folder of public data sets; it is {place}.")
    return place / name


def read(path: str) -> list[Row]:
    """Return the (text, label) rows of a csv, csv.gz or jsonl file."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        if ".jsonl" in path:
            rows = [json.loads(line) for line in handle if line.strip()]
        else:
            rows = list(csv.DictReader(handle))
    label = "label" if "label" in rows[0] else "category"
    return [(row["text"], str(row[label])) for row in rows]


def write(path: Path, rows: Sequence[Row]) -> str:
    """Write rows as csv with the columns text and label; return the path."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerows([("text", "label"), *rows])
    return str(path)


def cut(files: dict[str, str], rows: int, place: Path) -> dict[str, str]:
    """Write smaller copies of a data set: some classes only, about `rows` rows in each split; return their files."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in read(files["train"]):
        by_label[label].append(text)
    kept = sorted(by_label)[: max(2, min(len(by_label), rows // 20))]
    out = {}
    for split, path in files.items():
        found = [row for row in read(path) if row[1] in kept]
        share = max(1, rows // len(kept))
        counts: dict[str, int] = defaultdict(int)
        few = []
        for row in found:
            counts[row[1]] += 1
            if counts[row[1]] <= share:
                few.append(row)
        out[split] = write(place / f"{split}.csv", few)
    return out


def few_of_each(path: str, count: int, seed: int, place: Path) -> str:
    """Write `count` rows of each class, drawn with a seed; return the file."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in read(path):
        by_label[row[1]].append(row)
    rng = random.Random(seed)
    rows = [row for label in sorted(by_label) for row in rng.sample(by_label[label], min(count, len(by_label[label])))]
    rng.shuffle(rows)
    return write(place / f"few_{count}_{seed}.csv", rows)


def drawn(path: str, share: float | int, seed: int, place: Path) -> dict[str, str]:
    """Write training rows drawn from each class with a seed, a count or a share of it, and as many others to validate.

    A class that is too small gives half of its rows to each. Returns both files.
    """
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in read(path):
        by_label[row[1]].append(row)
    rng = random.Random(seed)
    parts: dict[str, list[Row]] = {"train": [], "valid": []}
    for label in sorted(by_label):
        rows = by_label[label]
        wanted = share if isinstance(share, int) else max(1, round(share * len(rows)))
        count = min(wanted, len(rows) // 2)
        taken = rng.sample(rows, 2 * count)
        parts["train"] += taken[:count]
        parts["valid"] += taken[count:]
    for rows in parts.values():
        rng.shuffle(rows)
    return {split: write(place / f"{split}_{share}_{seed}.csv", rows) for split, rows in parts.items()}


def without(files: dict[str, str], label: str, place: Path) -> dict[str, str]:
    """Write copies of a data set without the rows of one label; return their files."""
    place.mkdir(parents=True, exist_ok=True)
    return {
        split: write(place / f"{split}_without_{label}.csv", [row for row in read(path) if row[1] != label])
        for split, path in files.items()
    }


def part_of(path: str, rows: int, seed: int, place: Path) -> str:
    """Write about so many rows, of each class its share and at least one, drawn with a seed; return the file."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in read(path):
        by_label[row[1]].append(row)
    share = min(1.0, rows / sum(map(len, by_label.values())))
    rng = random.Random(seed)
    found = [row for _, of in sorted(by_label.items()) for row in rng.sample(of, max(1, round(share * len(of))))]
    rng.shuffle(found)
    return write(place / f"part_{rows}_{seed}.csv", found)
