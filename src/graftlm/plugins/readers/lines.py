"""Plain text, gzipped or not: one text a line, in a column called `text`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from graftlm.contracts.reader import PIECE_CHARACTERS, PIECE_ROWS, BadRows, Corpus, Faults, Reader, a_file, join, shown
from graftlm.core import textfile
from graftlm.core.errors import DataError
from graftlm.core.textfile import Given, Lines, Piped


class PlainLines(Reader):
    """Reads texts without labels, as `graft predict` takes them; blank lines are no rows."""

    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped) or textfile.binary(head):
            return 0.0
        named = isinstance(given, Path) and str(given).lower().removesuffix(".gz").endswith((".txt", ".text"))
        return 0.5 if named else 0.3 if isinstance(given, Piped) else 0.1

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        return join(self.pieces(given, bad_rows=bad_rows))

    def pieces(self, given: Given, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        given = a_file(given)
        encoding = textfile.encoding(given, self.encoding)
        facts = {"encoding": encoding.name, "form": "one text a line"}
        faults, texts, lines, size, any_ = Faults(bad_rows), [], [], 0, False
        source = Lines(given, encoding.codec)
        for number, line in enumerate(source, 1):
            text = line.rstrip("\r\n")
            if not text.strip():
                continue
            if wrong := textfile.spoilt(text):
                if not faults.kept(f"{shown(given)}:{number}", wrong):
                    continue
                text = textfile.mended(text)
            texts.append(text)
            lines.append(number)
            size += len(text)
            if len(texts) >= PIECE_ROWS or size >= PIECE_CHARACTERS:
                yield _piece(texts, lines, given, facts, faults)
                texts, lines, size, any_ = [], [], 0, True
        if source.fault:
            faults.lost(f"{shown(given)}: after the last row", source.fault)
        last = _piece(texts, lines, given, facts, faults)
        if not (any_ or last.read):
            raise DataError(f"{given}: the file is empty; expected one text a line.")
        if last.read:
            yield last


def _piece(texts: list[str], lines: list[int], given: Given, facts: dict[str, str], faults: Faults) -> Corpus:
    table = pa.table({"text": pa.array(texts, pa.string())})
    return Corpus(table, shown(given), pa.array(lines, pa.int64()), facts, **faults.drain())
