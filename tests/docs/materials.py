"""Whatever files and runs the commands of the documentation speak of, made small, in the current folder."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILES = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".xlsx", ".parquet")
BANKING = ("card_arrival", "exchange_rate", "age_limit")


def out_of_reach(words: Sequence[str]) -> str | None:
    """Return why a command cannot be carried out here: it names the network, or a device that is not there."""
    import torch

    base = _after(words, "--base")
    if base and re.fullmatch(r"[\w.-]+/[\w.-]+", base) and not Path(base).exists() and not base.startswith("runs/"):
        return f"the Hub's model {base}"
    for word in words:
        if re.fullmatch(r"[\w.-]+/[\w.-]+:\w+", word):
            return f"the Hub's data set {word}"
    if _after(words, "--device") == "cuda" and not torch.cuda.is_available():
        return "a GPU"
    return None


def provide(words: Sequence[str], recipe: Mapping[str, Any], run: Callable[[list[str]], None]) -> None:
    """Make what a command reads and what is not there yet; `run` carries out a command that makes a run."""
    given = list(words)
    task = _after(words, "--task") or _use(recipe.get("task"))
    columns: dict[str, list[str]] = {}
    for place, word in enumerate(words):
        if word == "--column" and "=" in words[place + 1]:
            role, _, name = words[place + 1].partition("=")
            columns.setdefault(role, []).append(name)
    sections = [recipe, *(one for one in (recipe.get("tasks") or {}).values()), *(recipe.get("runs") or [])]
    for section in sections:
        data = section.get("data") or {}
        own = {
            role: [name] if isinstance(name, str) else list(name) for role, name in (data.get("columns") or {}).items()
        }
        for key in ("train", "valid", "test"):
            if isinstance(data.get(key), str):
                _file(data[key], _use(section) or _use(section.get("task")) or task, own or columns)
    out = _after(words, "--out")
    if out and "--resume" not in words and words[0] == "fit":
        shutil.rmtree(out, ignore_errors=True)
    for place, word in enumerate(given):
        name = word if "=" not in word else word.partition("=")[2]
        if word.startswith("-") or given[place - 1] in ("--out", "--folder"):
            continue
        if re.match(r"(\./)?my-checkpoint$", name):
            _checkpoint(Path(name))
        elif name.startswith("runs/"):
            folder = Path(*Path(name).parts[:2])
            if not (folder / "metrics.json").is_file() and not (folder / "tasks").is_dir():
                other = ["--set", "task.use=classification"] if task in ("", "classification") else []
                run(["fit", "train.csv", "--test", "test.csv", "--out", str(folder), *other])
        elif Path(name).suffix in FILES or name.endswith("/"):
            _file(name, task, columns)


def _after(words: Sequence[str], option: str) -> str:
    return next((words[n + 1] for n, word in enumerate(words[:-1]) if word == option), "")


def _use(given: Any) -> str:
    return str(given.get("use", "")) if isinstance(given, Mapping) else given if isinstance(given, str) else ""


def _file(name: str, task: str, columns: Mapping[str, Sequence[str]]) -> None:
    path = Path(name)
    named = [one for names in columns.values() for one in names]
    if path.exists() and not (path.suffix == ".csv" and set(named) - set(_head(path))):
        return
    if (ROOT / name).is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, path)
        return
    rows = [_named(row, columns, n) for n, row in enumerate(_rows(task, "test" in path.stem))]
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        for n, row in enumerate(rows):
            place = path / str(row["label"]) / f"{n}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(str(row["text"]), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    elif path.suffix == ".txt":
        marks = "|" if task == "" and "export" in name else None
        lines = [f"{row['text']}{marks}{row['label']}" if marks else str(row["text"]) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif path.suffix == ".xlsx":
        from openpyxl import Workbook

        book = Workbook()
        sheet = book.create_sheet("Sheet2")
        for row in [list(rows[0]), *([_flat(value) for value in row.values()] for row in rows)]:
            sheet.append(row)
        book.save(path)
    else:
        with path.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([list(rows[0]), *([_flat(value) for value in row.values()] for row in rows)])


def _head(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as handle:
        return next(csv.reader(handle), [])


def _rows(task: str, test: bool) -> list[dict[str, Any]]:
    """Return rows of a task: those that its own test calls ROWS, some times over, each time a little different."""
    own = ROOT / "tests" / "plugins" / "tasks" / f"test_{task}.py"
    if task in ("", "classification") or not own.is_file() or "\nROWS" not in own.read_text(encoding="utf-8"):
        with Path("test.csv" if test else "train.csv").open(encoding="utf-8", newline="") as handle:
            found = [{"text": row["text"], "label": row["category"]} for row in csv.DictReader(handle)]
        splits = ("train", "train", "valid", "test")
        facts = [
            {"customer": f"c{n % 9}", "date": f"2026-01-{n % 28 + 1:02}", "split": splits[n % 4], "编号": f"n{n}"}
            for n in range(len(found))
        ]
        return [{**row, **more} for row, more in zip(found, facts, strict=True)]
    spec = importlib.util.spec_from_file_location(f"rows_of_{task}", own)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    times = 3 if test else 8
    return [
        {role: f"{value} {time}" if role in ("text", "question") and time else value for role, value in row.items()}
        for time in range(times)
        for row in module.ROWS
    ]


def _named(row: Mapping[str, Any], columns: Mapping[str, Sequence[str]], number: int) -> dict[str, Any]:
    """Return a row with the columns that a command names: one renamed, or several of 0 and 1, or numbered ones."""
    found: dict[str, Any] = {}
    for role, value in row.items():
        names = columns.get(role, [role])
        if len(names) == 1:
            found[names[0]] = value
        elif isinstance(value, list) and role == "choices":
            found |= {name: value[n] if n < len(value) else "" for n, name in enumerate(names)}
        elif role == "label":
            found |= {name: (number + n) % 2 for n, name in enumerate(names)}
        else:
            found |= dict.fromkeys(names, value)
    return found


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _checkpoint(folder: Path) -> None:
    """Write a plain checkpoint of the tiny backbone."""
    if folder.exists():
        return
    from graftlm.core import registry

    base = registry.make("backbone", "tiny").open()
    base.build("AutoModel").save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
