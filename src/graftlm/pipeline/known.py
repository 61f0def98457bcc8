"""What is known of large files from an earlier run: their rows, read, and what their check found, kept in the cache.

The key is the content of the files and everything that reading and checking look at, this package's own files among
it, so that nothing is taken that would be different today.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts import tables
from graftlm.contracts.dataset import Dataset
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Finding
from graftlm.core import cache, environment, hashing, log

if TYPE_CHECKING:
    from graftlm.recipe import Recipe
    from graftlm.stages.checking import Checked

KEPT_FROM = 16 << 20
"""Bytes of all files together from which on what was read is kept: smaller ones are read as fast."""
FORMAT = 1
_SPLITS = ("train", "valid", "test")


def dataset(recipe: Recipe, given: Mapping[str, Any] | None, read: Callable[[], Dataset]) -> tuple[Dataset, str | None]:
    """Return the data of a recipe, from the cache where they are there, and their key (None: they are not kept)."""
    key = _key(recipe, given)
    if key is None or cache.limit() <= 0:
        return read(), None
    place = cache.find("rows", key)
    if place is not None:
        log.note("cache: the rows are taken from an earlier run, which read the same files")
        return _load(place), key
    found = read()
    place = cache.put("rows", key, lambda folder: _write(folder, found), f"rows of {_about(found)}")
    tables.release()
    if place is None:
        return found, key
    log.note("cache: the rows, read, are kept for the next run (see graft cache)")
    return _load(place), key


def checked(key: str | None, beside: Any, data: Dataset, check: Callable[[], Checked]) -> Checked:
    """Return what the check of the data found, from the cache where it is there; `beside` is what else it looked at."""
    from graftlm.stages.checking import Checked

    if key is None:
        return check()
    full = hashing.of_value([FORMAT, key, data.fingerprints(), beside])
    if (place := cache.find("checks", full)) is not None:
        held = json.loads((place / "check.json").read_text(encoding="utf-8"))
        kept = held["kept"]
        if kept is not None:
            data = replace(data, splits={**data.splits, "train": data.train.take(kept)})
        return Checked(data, _findings(held["findings"]), held["counts"])
    found = check()
    if len(found.dataset.train) == len(data.train):
        tree = {"findings": [one.as_json() for one in found.findings], "counts": found.counts, "kept": None}
        text = json.dumps(tree, ensure_ascii=False)
        cache.put("checks", full, lambda folder: _text(folder / "check.json", text), f"check of {_about(data)}")
    return found


def _key(recipe: Recipe, given: Mapping[str, Any] | None) -> str | None:
    """Return the key of the files that a recipe reads; None where they are small, or something else than files."""
    named = {name: getattr(recipe.data, name) for name in _SPLITS} | dict(given or {})
    files: dict[str, Path] = {}
    for name, value in named.items():
        if value is None:
            continue
        if not isinstance(value, str | Path) or not (path := Path(value).expanduser()).is_file():
            return None
        files[name] = path
    if sum(path.stat().st_size for path in files.values()) < KEPT_FROM:
        return None
    contents = {name: [str(named[name]), hashing.of_file(path)] for name, path in files.items()}
    section = recipe.data.model_dump(mode="json", exclude={*_SPLITS, "overlap"})
    task = [recipe.task.as_use(), environment.file_mark(type(recipe.task).__module__)]
    return hashing.of_value([FORMAT, environment.code_mark(), contents, section, task, recipe.train.seed])


def _about(data: Dataset) -> str:
    return ", ".join(Path(str(source["source"])).name for source in data.facts.get("sources", {}).values())


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write(folder: Path, data: Dataset) -> None:
    for name, rows in data.splits.items():
        tables.write(folder / f"{name}.arrow", rows.table)
    tree = {
        "facts": data.facts,
        "findings": [asdict(finding) for finding in data.findings],
        "splits": {name: [rows.name, rows.target, rows.fingerprint] for name, rows in data.splits.items()},
    }
    _text(folder / "data.json", json.dumps(tree, ensure_ascii=False))


def _load(place: Path) -> Dataset:
    tree = json.loads((place / "data.json").read_text(encoding="utf-8"))
    splits = {
        name: Rows(own, tables.read(place / f"{name}.arrow"), target, fingerprint)
        for name, (own, target, fingerprint) in tree["splits"].items()
    }
    return Dataset(splits, tree["facts"], _findings(tree["findings"]))


def _findings(found: Any) -> tuple[Finding, ...]:
    return tuple(Finding(**{**one, "rows": tuple(one["rows"])}) for one in found)
