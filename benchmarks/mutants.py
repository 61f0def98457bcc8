"""Files for the fuzzing of the readers: sound ones of every format, then damaged in the ways that files are damaged.

A case is a function of the seed and its number alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = (
    "my card is lost", "", "  ", "send, money; abroad|now\tplease", 'she said "no"', '"', '""', "two\nlines", "a\r\nb",
    "一张丢失的卡，怎么办？", "café naïve", "😀👍🏽", "x" * 300, "'quoted'", "NaN", "null", "-1.5", "1e999", "true",
    "#x",    "=1+1", "\u2028separator", "\x1funit", "\x0b\x0c", "\x85next", "tail\\", "a\\\"b", "{", "[1, 2", "}{",
    "é\u0301",
    "\u200b", "\ufeff", "\ufffd", "O", "B-LOC", "2026-11-24", "0012", "١٢", "\x1a", "-DOCSTART-", "text", "label",
)  # fmt: skip
LABELS = ("yes", "no", "maybe", "1", "0", "", "正", "1.0", "Yes ", "label")
HEADERS = (
    ("text", "label"),
    ("sentence", "category"),
    ("内容", "标签"),
    ("a", "b"),
    ("label", "text"),
    ("text", "text"),
)
SPLINTERS = (
    b'"', b'""', b"'", b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b"\0" * 9, b"\xff", b"\xfe\xff", b"\xc3", b"\xed\xa0\x80",
    b"\xf0\x9f", b"\xef\xbb\xbf", b",", b";", b"\t", b"|", b"{", b"}", b"[", b"]", b"\\", b"\\u0000", b"\\ud800",
    b"NaN", b"Infinity", b"1e999", b"-", b"9" * 5000, b"[" * 3000, b'{"a":' * 1500, b"\x1a", b"\x1f\x8b", b"PK\x03\x04",
    b"PAR1", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0c", b"\x1c", b" ", b"x" * 70_000, b'"text"', b"null", b"//", b"\x80",
    "é".encode("latin-1"), "的".encode("gb18030"), "a".encode("utf-16"), b"O\n\n", b"text,label\n", b'{"text": "a"}\n',
)  # fmt: skip
FORMATS = (
    "csv", "csv", "tsv", "semicolon", "pipe", "latin", "gb18030", "utf16", "wide", "jsonl", "jsonl", "spread", "json",
    "wrapped", "lines", "lines", "conll", "parquet", "xlsx", "folder", "junk", "one_column",
)  # fmt: skip
SUFFIX = {
    "csv": ".csv", "tsv": ".tsv", "semicolon": ".csv", "pipe": ".csv", "latin": ".csv", "gb18030": ".csv",
    "utf16": ".csv", "wide": ".csv", "jsonl": ".jsonl", "spread": ".json", "json": ".json", "wrapped": ".json",
    "lines": ".txt", "conll": ".conll", "parquet": ".parquet", "xlsx": ".xlsx", "folder": "", "junk": ".csv",
    "one_column": ".csv",
}  # fmt: skip
ALL_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".xlsx", ".dat", "", ".csv.gz", ".jsonl.gz")
DELIMITER = {"tsv": "\t", "semicolon": ";", "pipe": "|"}
ENCODING = {"latin": "latin-1", "gb18030": "gb18030", "utf16": "utf-16"}


@dataclass(frozen=True)
class Case:
    """One file (or folder) to be read: where it lies, of what format it was, and how it was damaged."""

    path: Path
    form: str
    damage: tuple[str, ...]


def make(seed: int, number: int, folder: Path) -> Case:
    """Write the file of a case into a folder."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311
    form = rng.choice(FORMATS)
    rows = _rows(rng)
    done: list[str] = []
    if form == "folder":
        return Case(_folder(rng, rows[:60], folder / f"case{number}", done), form, tuple(done))
    data = _sound(rng, form, rows)
    if form == "xlsx" and rng.random() < 0.5:
        data = _rezipped(rng, data, done)
    times = rng.choice((0, 1, 1, 1, 2, 3, 6)) if form not in ("parquet", "xlsx") else rng.choice((0, 1, 1, 2))
    for _ in range(times):
        data = _damaged(rng, data, done)
    suffix = SUFFIX[form] if rng.random() < 0.85 else rng.choice(ALL_SUFFIXES)
    if rng.random() < 0.15:
        data = gzip.compress(data, 1)
        done.append("gzip")
        if rng.random() < 0.5:
            data = _damaged(rng, data, done)
        if rng.random() < 0.7 and not suffix.endswith(".gz"):
            suffix += ".gz"
    path = folder / f"case{number}{suffix}"
    path.write_bytes(data)
    return Case(path, form, tuple(done))


def _rows(rng: random.Random) -> list[tuple[str, str]]:
    kind = rng.random()
    count = rng.choice((0, 1, 2, 3, 8, 25, 60)) if rng.random() < 0.98 else 4000
    if kind < 0.5:  # mostly plain rows, some odd ones
        rows = [(f"plain text number {n} of many words", rng.choice(("yes", "no"))) for n in range(count)]
        return [(rng.choice(TEXTS), row[1]) if rng.random() < 0.1 else row for row in rows]
    return [(rng.choice(TEXTS), rng.choice(LABELS)) for _ in range(count)]


def _sound(rng: random.Random, form: str, rows: list[tuple[str, str]]) -> bytes:
    header = rng.choice(HEADERS)
    if form in ("jsonl", "spread", "json", "wrapped"):
        values = [dict(zip(header, _typed(rng, row), strict=True)) for row in rows]
        if form == "jsonl":
            ascii_ = rng.random() < 0.3
            return "".join(json.dumps(value, ensure_ascii=ascii_) + rng.choice(("\n", "\n", "\r\n"))
                           for value in values).encode()  # fmt: skip
        if form == "spread":
            return "\n".join(json.dumps(value, indent=2, ensure_ascii=False) for value in values).encode()
        whole: Any = values if form == "json" else {"version": 1, "data": values, "notes": []}
        return json.dumps(whole, ensure_ascii=False, indent=rng.choice((None, 1))).encode()
    if form == "lines":
        return "".join(row[0] + "\n" for row in rows).encode()
    if form == "conll":
        return "".join(f"{word} X O\n" for row in rows for word in [*row[0].split(), ""]).encode()
    if form == "parquet":
        return _parquet(rng, header, rows)
    if form == "xlsx":
        return _xlsx(header, rows)
    if form == "junk":
        return rng.randbytes(rng.choice((1, 40, 3000, 70_000)))
    out = io.StringIO(newline="")
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    writer = csv.writer(out, delimiter=DELIMITER.get(form, ","), quoting=quoting, lineterminator=end)
    table = [header, *rows] if rng.random() < 0.8 else list(rows)
    if form == "one_column":
        table = [(row[0],) for row in table]
    elif form == "wide":
        table = [(*row, *("w" * n for n in range(6))) for row in table]
    writer.writerows(table)
    return out.getvalue().encode(ENCODING.get(form, "utf-8"), "replace")


def _typed(rng: random.Random, row: tuple[str, str]) -> tuple[Any, ...]:
    odd: tuple[Any, ...] = (None, True, 3, -0.5, 10**30, [], ["a"], {"a": {"b": 1}}, float("nan"), 2**63, "x")
    return tuple(rng.choice(odd) if rng.random() < 0.05 else cell for cell in row)


def _parquet(rng: random.Random, header: tuple[str, ...], rows: list[tuple[str, str]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(header))
    columns = list(zip(*rows, strict=True)) if rows else [(), ()]
    table = pa.table({name: pa.array(list(columns[place]), pa.string()) for place, name in enumerate(names)})
    if rng.random() < 0.3:
        table = table.append_column("extra", pa.array([[1.5, None]] * table.num_rows, pa.list_(pa.float64())))
    if rng.random() < 0.2:
        table = table.append_column("bytes", pa.array([b"\xff\0"] * table.num_rows, pa.binary()))
    if rng.random() < 0.3:
        table = table.set_column(0, names[0], table.column(0).dictionary_encode())
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=rng.choice((3, 100)), compression=rng.choice(("none", "snappy")))
    return sink.getvalue()


def _xlsx(header: tuple[str, ...], rows: list[tuple[str, str]]) -> bytes:
    import openpyxl
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook()
    for row in (header, *rows):
        book.active.append([ILLEGAL_CHARACTERS_RE.sub("", cell) for cell in row])
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def _rezipped(rng: random.Random, data: bytes, done: list[str]) -> bytes:
    """Damage one file inside a workbook."""
    done.append("inside")
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(sink, "w") as target:
        names = source.namelist()
        chosen = rng.choice([*names, "xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"])
        gone = rng.random() < 0.1
        for name in names:
            part = source.read(name)
            if name == chosen:
                if gone:
                    continue
                part = _damaged(rng, part, done)
            target.writestr(name, part)
    return sink.getvalue()


def _folder(rng: random.Random, rows: list[tuple[str, str]], place: Path, done: list[str]) -> Path:
    place.mkdir()
    for number, (text, label) in enumerate(rows):
        inside = place / (label.strip() or rng.choice(("a", "b", ".hidden", "train")))
        if rng.random() < 0.1:
            inside = inside / "deeper"
        inside.mkdir(parents=True, exist_ok=True)
        data = text.encode()
        if rng.random() < 0.2:
            data = _damaged(rng, data, done)
        name = rng.choice((f"{number}.txt", f"{number}.txt", f"{number}.md", f"{number}.txt.gz", f"名{number}.txt"))
        (inside / name).write_bytes(gzip.compress(data) if rng.random() < 0.1 else data)
    if rng.random() < 0.1:
        done.append("a link to itself")
        (place / "loop").symlink_to(place, target_is_directory=True)
    if rng.random() < 0.1:
        done.append("a name that is no UTF-8")
        inside = place / "odd"
        inside.mkdir(exist_ok=True)
        with open(bytes(inside) + b"/\xff\xfe.txt", "wb") as handle:
            handle.write(b"text")
    if rng.random() < 0.05:
        done.append("a file in the place of a folder")
        (place / "plain.txt").write_text("text")
    return place


def _damaged(rng: random.Random, data: bytes, done: list[str]) -> bytes:
    """Damage bytes in one of the ways that files are damaged."""
    kinds = ("flip", "insert", "insert", "insert", "cut", "delete", "double", "swap", "ends", "splice", "zeros", "line")
    kind = rng.choice(kinds)
    done.append(kind)
    at = rng.randrange(len(data) + 1)
    upto = min(len(data), at + rng.choice((1, 3, 20, 500)))
    if kind == "flip" and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if kind == "insert":
        piece = rng.choice(SPLINTERS)
        done[-1] = f"insert {piece[:12]!r}"
        return data[:at] + piece + data[at:]
    if kind == "cut":
        return data[:at]
    if kind == "delete":
        return data[:at] + data[upto:]
    if kind == "double":
        return data[:upto] + data[at:]
    if kind == "swap":
        lines = data.split(b"\n")
        rng.shuffle(lines)
        return b"\n".join(lines)
    if kind == "ends":
        lines = data.split(b"\n")
        return b"".join(line + rng.choice((b"\n", b"\r\n", b"\r", b"\n\n")) for line in lines)
    if kind == "splice":
        return data[:at] + _sound(rng, rng.choice(("csv", "jsonl", "json", "lines", "utf16")), _rows(rng)[:5])
    if kind == "zeros":
        return data[:at] + bytes(upto - at) + data[upto:]
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(SPLINTERS))
    return b"\n".join(lines)
