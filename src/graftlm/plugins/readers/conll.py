"""CoNLL columns: one word a line with its tag, a blank line after each sentence; any number of columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from graftlm.contracts.reader import PIECE_CHARACTERS, BadRows, Corpus, Faults, Reader, a_file, join
from graftlm.core import textfile
from graftlm.core.dialect import conll
from graftlm.core.errors import DataError
from graftlm.core.textfile import Given, Lines, Piped

_SUFFIXES = (".conll", ".conll2003", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".bmes", ".ner", ".tags")
_TAG = re.compile(r"O|[BIESMLU](?:[-_]\S+)?")
_DIGIT = re.compile(r"..?[0-9]{1,2}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a file is written: tabs or any white space, number of columns, places of word and tag.

    `digits` says that each character has its number in its word behind it (`科0 技1`).
    """

    tabs: bool
    columns: int
    word: int
    tag: int
    digits: bool

    def cells(self, line: str) -> list[str]:
        """Return the cells of a line; none where it is blank, begins a document or is a comment of CoNLL-U."""
        if not line.strip() or line.startswith("-DOCSTART-"):
            return []
        found = line.rstrip("\r\n").split("\t") if self.tabs else line.split()
        return [] if line.startswith("# ") and len(found) != self.columns else found


class Conll(Reader):
    """Reads sentences as lists: `tokens`, `tags`, and the other columns as `column_1`, `column_2`, ..."""

    source: ClassVar[str] = "Tjong Kim Sang & De Meulder 2003 (CoNLL-2003), section 2.2"
    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""
    word: int | None = Field(None, ge=1)
    """Number of the column that holds the words, from 1; None: the first that is no number."""
    tag: int | None = Field(None, ge=1)
    """Number of the column that holds the tags, from 1; None: the last one with tags of a scheme."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped) or textfile.binary(head):
            return 0.0
        if conll(head.decode("utf-8", "replace")):
            return 0.94
        named = isinstance(given, Path) and str(given).lower().removesuffix(".gz").endswith(_SUFFIXES)
        return 0.9 if named else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        return join(self.pieces(given, bad_rows=bad_rows))

    def pieces(self, given: Given, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        given = a_file(given)
        encoding = textfile.encoding(given, self.encoding)
        start = textfile.head(given, 1 << 18).decode(encoding.codec, "graftlm-mark")
        form = self._form(given, start)
        facts = {
            "encoding": encoding.name,
            "form": f"{form.columns} columns, words in {form.word + 1}"
            + (f", tags in {form.tag + 1}" if form.tag >= 0 else "")
            + ("; the number behind each character is taken off" if form.digits else ""),
        }
        faults = Faults(bad_rows)
        names = _names(form)
        held: dict[str, list[list[str]]] = {name: [] for name in names}
        lines: list[int] = []
        size, any_ = 0, False
        source = Lines(given, encoding.codec)
        for number, rows in _sentences(given, source, form, faults):
            for place, name in enumerate(names):
                held[name].append([row[place] for row in rows])
            lines.append(number)
            size += 8 * len(rows)
            if size >= PIECE_CHARACTERS:
                yield _piece(held, lines, given, facts, faults)
                held, lines, size, any_ = {name: [] for name in names}, [], 0, True
        if source.fault:
            faults.lost(f"{given}: after the last sentence", source.fault)
        last = _piece(held, lines, given, facts, faults)
        if last.read or not any_:
            yield last

    def _form(self, given: Given, start: str) -> _Form:
        lines = [line for line in start.split("\n") if line.strip() and not line.startswith("-DOCSTART-")][:20_000]
        if len(lines) > 20:
            lines.pop()  # the head may end within it
        if not lines:
            raise DataError(f"{given}: expected one word a line with its tag behind it; the file has no words.")
        tabs = sum("\t" in line for line in lines) > 0.9 * len(lines)
        rows = [line.split("\t") if tabs else line.split() for line in lines]
        columns = Counter(map(len, rows)).most_common(1)[0][0]
        rows = [row for row in rows if len(row) == columns]
        for name, number in (("word", self.word), ("tag", self.tag)):
            if number is not None and number > columns:
                raise DataError(f"{given}: there is no column {number} (reader field '{name}'); it has {columns}.")
        by_column = list(zip(*rows, strict=True))
        tagged = [n for n, cells in enumerate(by_column) if n and all(map(_TAG.fullmatch, cells))]
        some = [n for n in tagged if any(cell != "O" for cell in by_column[n])]
        tag = self.tag - 1 if self.tag is not None else (some or tagged or [columns - 1])[-1]
        free = [n for n in range(columns) if n != tag] or [0]
        word = next((n for n in free if not all(map(str.isdecimal, by_column[n]))), free[0])
        word = self.word - 1 if self.word is not None else word
        digits = sum(bool(_DIGIT.fullmatch(cell)) for cell in by_column[word]) > 0.99 * len(rows)
        return _Form(tabs, columns, word, tag if columns > 1 else -1, digits)


def _names(form: _Form) -> list[str]:
    """Return the names of the columns in their order."""
    special = {form.word: "tokens", form.tag: "tags"}
    return [special.get(place, f"column_{place + 1}") for place in range(form.columns)]


def _sentences(given: Given, source: Lines, form: _Form, faults: Faults) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield the line where each sentence begins, and its rows."""
    rows: list[list[str]] = []
    begin, fault, mended = 0, "", ""
    for number, line in enumerate(source, 1):
        cells = form.cells(line)
        if not cells:
            if begin and _good(f"{given}:{begin}", fault, mended, faults):
                yield begin, rows
            rows, begin, fault, mended = [], 0, "", ""
            continue
        begin = begin or number
        if len(cells) != form.columns:
            what = f"line {number} has {len(cells)} columns, the others {form.columns}: {line.strip()[:60]!r}"
            mended = mended or what
            cells = _mended(cells, form)
        if wrong := textfile.spoilt(line):
            mended = mended or f"line {number}: {wrong}"
            cells = [textfile.mended(cell) for cell in cells]
        if not cells[form.word].strip():
            fault = fault or f"line {number} has no word: {line.strip()[:60]!r}"
        if form.digits:
            cells[form.word] = cells[form.word][:1] + cells[form.word][1:].rstrip("0123456789")
        rows.append(cells)
    if begin and _good(f"{given}:{begin}", fault, mended, faults):
        yield begin, rows


def _good(where: str, fault: str, mended: str, faults: Faults) -> bool:
    if fault:
        faults.lost(where, f"in the sentence that begins here, {fault}")
        return False
    return not mended or faults.kept(where, f"in the sentence that begins here, {mended}")


def _mended(cells: list[str], form: _Form) -> list[str]:
    """Return as many cells as there are columns: what is too much joins the word, a missing tag is O."""
    over = len(cells) - form.columns
    if over > 0:
        middle = " ".join(cells[form.word : form.word + over + 1])
        return [*cells[: form.word], middle, *cells[form.word + over + 1 :]]
    return [*cells, *["O"] * -over]


def _piece(
    held: dict[str, list[list[str]]], lines: list[int], given: Given, facts: dict[str, str], faults: Faults
) -> Corpus:
    table = pa.table({name: pa.array(values, pa.list_(pa.string())) for name, values in held.items()})
    return Corpus(table, str(given), pa.array(lines, pa.int64()), facts, **faults.drain())
