"""JSON lines, gzipped or not: one object a line, or objects one after the other over several lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import (
    PIECE_CHARACTERS,
    PIECE_ROWS,
    BadRows,
    Corpus,
    Faults,
    Reader,
    a_file,
    join,
    records,
    shown,
)
from graftlm.core import textfile
from graftlm.core.errors import DataError
from graftlm.core.textfile import Given, Lines, Piped

_LONGEST = 100_000  # lines of one object; beyond, it was never closed


class JsonLines(Reader):
    """Reads objects in constant memory; a value keeps its type where the column's values share one."""

    source: ClassVar[str] = "jsonlines.org; RFC 8259"
    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped):
            return 0.0
        name = str(given).lower().removesuffix(".gz")
        if isinstance(given, Path) and name.endswith((".jsonl", ".ndjson", ".jsonlines")):
            return 0.95
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if not start.startswith(b"{") or textfile.binary(head):
            return 0.0
        return 0.8 if _several(start.decode("utf-8", "replace")) else 0.3

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        return join(self.pieces(given, bad_rows=bad_rows))

    def pieces(self, given: Given, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        given = a_file(given)
        encoding = textfile.encoding(given, self.encoding)
        start = textfile.head(given).decode(encoding.codec, "graftlm-mark").lstrip()
        if not start:
            raise DataError(f"{given}: the file is empty; expected a JSON object on each line.")
        one = start.splitlines()[0]
        spread = one.lstrip().startswith("{") and _closed(one) is None and "\n" in start
        facts = {"encoding": encoding.name, "form": "objects over several lines" if spread else "one object a line"}
        faults, rows, lines, size, any_ = Faults(bad_rows), [], [], 0, False
        for number, text, row in _objects(given, encoding.codec, faults, spread):
            rows.append(row)
            lines.append(number)
            size += len(text)
            if len(rows) >= PIECE_ROWS or size >= PIECE_CHARACTERS:
                yield Corpus(records(rows), shown(given), pa.array(lines, pa.int64()), facts, **faults.drain())
                rows, lines, size, any_ = [], [], 0, True
        rest = faults.drain()
        if rows or rest["skipped"] or not any_:
            yield Corpus(records(rows), shown(given), pa.array(lines, pa.int64()), facts, **rest)


def _closed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _several(start: str) -> bool:
    """Tell whether another object follows the first one."""
    try:
        _, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return False
    return start[end:].lstrip().startswith("{")


def _objects(given: Given, codec: str, faults: Faults, spread: bool) -> Iterator[tuple[int, str, dict[str, Any]]]:
    source = Lines(given, codec)
    for number, text in _spread(source) if spread else enumerate(source, 1):
        if not text.strip():
            continue
        where = f"{shown(given)}:{number}"
        if source.fault and not text.endswith(("\n", "\r", "}")):
            faults.lost(where, source.fault)
            return
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as fault:
            mended = textfile.mended(text)
            row = _closed(mended) if mended != text else None
            wrong = textfile.spoilt(text) or f"this is not JSON ({fault})"
            if not isinstance(row, dict):
                faults.lost(where, wrong)
            elif faults.kept(where, wrong):
                yield number, text, row
            continue
        if not isinstance(row, dict):
            faults.lost(where, f'expected a JSON object such as {{"text": ..., "label": ...}}, found {_kind(row)}')
            continue
        if not text.isascii() or "\\u" in text:
            if found := textfile.spoilt(text) or textfile.spoilt(_flat(row)):
                if not faults.kept(where, found):
                    continue
                row = _mended(row)
        yield number, text, row
    if source.fault:
        faults.lost(f"{shown(given)}: after the last row", source.fault)


def _spread(lines: Lines) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of objects written over several lines; a new one begins with `{` at the margin."""
    held: list[str] = []
    begin = 1
    for number, line in enumerate(lines, 1):
        if held and (line.startswith("{") or len(held) >= _LONGEST):
            yield begin, "".join(held)
            held = []
        if not held:
            if not line.strip():
                continue
            begin = number
        held.append(line)
    if held:
        yield begin, "".join(held)


def _kind(value: Any) -> str:
    return {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}.get(type(value), "a number")


def _flat(value: Any) -> str:
    """Return all texts inside a value, one after the other."""
    if isinstance(value, dict):
        return "".join(map(_flat, [*value, *value.values()]))
    return "".join(map(_flat, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


def _mended(value: Any) -> Any:
    if isinstance(value, dict):
        return {textfile.mended(key): _mended(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mended(inner) for inner in value]
    return textfile.mended(value) if isinstance(value, str) else value
