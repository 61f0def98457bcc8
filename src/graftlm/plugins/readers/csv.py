"""Tables of separated text (csv, tsv, gzipped or not): delimiter, quoting, header and encoding are found out."""

from __future__ import annotations

import csv
import io
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.csv
from pydantic import Field

from graftlm.contracts.reader import PIECE_CHARACTERS, PIECE_ROWS, BadRows, Corpus, Faults, Reader, a_file, join, shown
from graftlm.core import textfile
from graftlm.core.dialect import DELIMITERS, Dialect, column_names, conll, guess, has_header, parse, survey
from graftlm.core.errors import DataError
from graftlm.core.textfile import Encoding, Given, Lines, Piped

_SUFFIXES = (".csv", ".tsv", ".tab")
_LONGEST = 10_000  # lines of one record; beyond, its quote was never closed
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Form:
    """What was found out about a file before its rows are read."""

    encoding: Encoding
    dialect: Dialect
    header: bool
    names: list[str]
    starts: Any
    top: int
    """The first line that is not blank."""

    @property
    def facts(self) -> dict[str, str]:
        return {
            "encoding": self.encoding.name,
            "delimiter": self.dialect.shown,
            "quoting": "double quotes" if self.dialect.quote == '"' else self.dialect.quote or "none",
            "header": "first row" if self.header else "none: columns are numbered",
        }


class Csv(Reader):
    """Reads with Arrow what is sound in the whole file, and record by record, with the same result, what is not."""

    source: ClassVar[str] = "RFC 4180; project for what is found out"
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between columns; None: found out."""
    quote: str | None = Field(None, max_length=1)
    """Quote mark; "" for none; None: found out."""
    header: bool | None = None
    """Whether the first row names the columns; None: found out."""
    encoding: str | None = None
    """Encoding such as "gb18030"; None: found out."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path | Piped):
            return 0.0
        name = str(given).lower().removesuffix(".gz")
        if isinstance(given, Path) and name.endswith(_SUFFIXES):
            return 0.9
        if textfile.binary(head) or head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            return 0.0
        text = head.decode("utf-8", "replace")
        if conll(text):
            return 0.0
        lines = text.splitlines(keepends=True)
        lines = lines[: len(lines) - (len(head) >= textfile.HEAD)][:200]
        found = guess(lines)
        wanted = tuple(DELIMITERS) if isinstance(given, Piped) else ("\t",)
        if found.delimiter not in wanted or not lines:
            return 0.0
        rows = [row for row in parse(lines, found, strict=False) if row]
        regular = sum(len(row) == found.columns for row in rows) / max(len(rows), 1)
        if isinstance(given, Piped) and not has_header(rows):
            return 0.0
        return 0.6 if regular > 0.95 else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        return join(self.pieces(given, bad_rows=bad_rows))

    def pieces(self, given: Given, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        given = a_file(given)
        form = self._form(given, bad_rows)
        done = 0
        if form.starts is not None:
            try:
                for piece in _by_arrow(given, form):
                    yield piece
                    done += piece.table.num_rows
                return
            except pa.ArrowInvalid:
                pass  # a record longer than a block, say: the other way reads it, from where this one stopped
        yield from _by_record(given, form, Faults(bad_rows), done)

    def _form(self, given: Given, bad_rows: BadRows = "stop") -> _Form:
        encoding = textfile.encoding(given, self.encoding)
        start = textfile.head(given, 1 << 18)
        text = start.decode(encoding.codec, "graftlm-mark")
        lines = io.StringIO(text, newline="").readlines()
        if len(lines) > 1 and len(start) >= textfile.HEAD:
            lines.pop()  # the head may end within it
        if not any(line.strip("\r\n") for line in lines):
            raise DataError(f"{given}: the file is empty; expected a table with a text and a label in each row.")
        suffix = Path(str(given).lower().removesuffix(".gz")).suffix
        dialect = guess(lines, suffix)
        if self.delimiter is not None:
            dialect = replace(dialect, delimiter=self.delimiter)
        if self.quote is not None:
            dialect = replace(dialect, quote=self.quote or None)
        starts = None
        if encoding.clean:
            dialect, starts = self._survey(given, encoding, dialect, lines)
        rows = [row for row in islice(_rows(lines, dialect), 200) if row]
        columns = _columns(rows)
        dialect = replace(dialect, columns=columns)
        blank = "\r\n" if columns == 1 else " \r\n"
        top = next(number for number, line in enumerate([*lines, "-"], 1) if line.strip(blank))
        rows = [row for row in islice(_rows(lines[top - 1 :], dialect), 200) if row] or rows
        header = has_header(rows) if self.header is None else self.header
        names = column_names(rows[0] if header else None, columns)
        if wrong := next(filter(None, map(textfile.spoilt, names)), None):
            Faults(bad_rows).kept(f"{shown(given)}:1", f"the names of the columns hold {wrong}")
            names = column_names([textfile.mended(name) for name in names], columns)
        return _Form(encoding, dialect, header, names, starts, top)

    def _survey(self, given: Given, encoding: Encoding, dialect: Dialect, lines: list[str]) -> tuple[Dialect, Any]:
        """Judge by the whole file whether quotes quote; return where records begin if it has no fault at all."""
        options = [dialect] if self.quote is not None else [replace(dialect, quote=mark) for mark in ('"', None)]
        best: tuple[int, Dialect, Any] | None = None
        for option in options:
            rows = [row for row in islice(_rows(lines, option), 200) if row]
            option = replace(option, columns=_columns(rows))
            found = survey(_utf8(given, encoding), option)
            if found.returns:
                return dialect, None
            if option.quote is None and found.quotes and _enclosing(lines, option):
                break
            if best is None or found.faults < best[0]:
                best = found.faults, option, found.starts
            if best[0] == 0 or found.quotes == 0:
                break
        if best is None or best[0] or best[1].quote not in ('"', None) or not best[1].delimiter.isascii():
            return (best[1] if best else dialect), None
        return best[1], best[2]


def _columns(rows: list[list[str]]) -> int:
    """Return the commonest number of columns; the larger one, if two are."""
    sizes = [len(row) for row in rows]
    return max((sizes.count(size), size) for size in set(sizes))[1]


def _rows(lines: list[str], dialect: Dialect) -> Iterator[list[str]]:
    reader = parse(lines, dialect, strict=False)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue


def _enclosing(lines: list[str], dialect: Dialect) -> bool:
    """Tell whether quotes stand mostly round whole cells: then they quote, and where they do not match is a fault."""
    cells = [cell for row in _rows(lines, dialect) for cell in row if '"' in cell]
    whole = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
    return 0 < len(cells) <= 2 * whole


def _utf8(given: Given, encoding: Encoding) -> Iterator[bytes]:
    if encoding.codec == "utf-8":
        return textfile.chunks(given)
    return (text.encode() for text in textfile.decoded(given, encoding.codec))


def _by_arrow(given: Given, form: _Form) -> Iterator[Corpus]:
    reader = pa.csv.open_csv(
        textfile.Flow(_utf8(given, form.encoding)),
        pa.csv.ReadOptions(column_names=form.names, block_size=_BLOCK),
        pa.csv.ParseOptions(
            delimiter=form.dialect.delimiter,
            quote_char=form.dialect.quote or False,
            newlines_in_values=form.dialect.quote is not None,
        ),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(form.names, pa.string()), strings_can_be_null=False),
    )
    at = 0
    some = False
    for batch in reader:
        starts = form.starts[at : at + batch.num_rows]
        if len(starts) != batch.num_rows:
            raise pa.ArrowInvalid("rows and records differ in number")
        skip = 1 if form.header and at == 0 and batch.num_rows else 0
        at += batch.num_rows
        part = pa.Table.from_batches([batch.slice(skip)])
        some = True
        yield Corpus(part, shown(given), pa.array(starts[skip:], pa.int64()), form.facts)
    if at != len(form.starts):
        raise pa.ArrowInvalid("rows and records differ in number")
    if not some:
        yield _piece([], [], given, form, Faults("stop"))


def _piece(rows: list[list[str | None]], lines: list[int], given: Given, form: _Form, faults: Faults) -> Corpus:
    columns = zip(*rows, strict=True) if rows else ((),) * len(form.names)
    arrays = [pa.array(list(values), pa.string()) for values in columns]
    table = pa.table(dict(zip(form.names, arrays, strict=True)))
    return Corpus(table, shown(given), pa.array(lines, pa.int64()), form.facts, **faults.drain())


def _by_record(given: Given, form: _Form, faults: Faults, done: int) -> Iterator[Corpus]:
    """Read record by record: what is wrong with one is told by its line, and reading goes on behind it."""
    rows: list[list[str | None]] = []
    lines: list[int] = []
    size, first, seen = 0, form.header, False
    for number, text, cells in _records(given, form, faults):
        if first:
            first = False
            if number == form.top:  # else the header itself was broken, is told already, and this is a row
                continue
        if done:
            done -= 1
            continue
        row = _mend(cells, text, number, given, form, faults)
        if row is not None:
            rows.append(row)
            lines.append(number)
            size += len(text)
        if len(rows) >= PIECE_ROWS or size >= PIECE_CHARACTERS:
            yield _piece(rows, lines, given, form, faults)
            rows, lines, size, seen = [], [], 0, True
    last = _piece(rows, lines, given, form, faults)
    if rows or last.skipped or not seen:
        yield last


def _mend(
    cells: Sequence[str | None], text: str, number: int, given: Given, form: _Form, faults: Faults
) -> list[str | None] | None:
    wrong = textfile.spoilt(text)
    row: list[str | None] = list(cells)
    if wrong is None and len(cells) != len(form.names):
        names = ", ".join(name[:60] for name in form.names)[:300]
        count = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
        wrong = f"expected {len(form.names)} columns ({names}), found {count}"
    if wrong is None:
        return row
    more = len(io.StringIO(text, newline="").readlines()) - 1
    if not faults.kept(f"{shown(given)}:{number}", wrong + (f", in lines {number} to {number + more}" if more else "")):
        return None
    return _fitted([None if cell is None else textfile.mended(cell) for cell in cells], form)


def _fitted(cells: Sequence[str | None], form: _Form) -> list[str | None]:
    """Cut a record to the table's columns, or fill it up with nulls."""
    return [*cells[: len(form.names)], *[None] * (len(form.names) - len(cells))]


def _records(given: Given, form: _Form, faults: Faults) -> Iterator[tuple[int, str, Sequence[str | None]]]:
    """Yield (line, text, cells) of each record; after a broken one go on at its second line."""
    source = Lines(given, form.encoding.codec)
    fresh = iter(source)
    again: deque[str] = deque()
    quote = form.dialect.quote
    number = 0  # of the line taken last
    cut = False
    single = len(form.names) == 1
    while True:
        text = again.popleft() if again else next(fresh, None)
        if text is None:
            break
        number += 1
        if not text.strip("\r\n" if single else " \r\n"):
            continue
        parts = [text]
        open_ = quote is not None and text.count(quote) % 2 == 1
        while quote is not None and open_ and len(parts) < _LONGEST:
            more = again.popleft() if again else next(fresh, None)
            if more is None:
                break
            parts.append(more)
            open_ = more.count(quote) % 2 == 0
        begin = number
        reason = "a quote is opened and never closed" if open_ else ""
        if source.fault and not parts[-1].endswith(("\n", "\r")):
            reason, cut = source.fault, True
        if not reason:
            whole = "".join(parts)
            try:
                cells = _cells(whole, form.dialect)
            except csv.Error as fault:
                reason = f"the quotes do not match ({fault})"
            else:
                number += len(parts) - 1
                yield begin, whole, cells
                continue
        again.extendleft(reversed(parts[1:]))
        if faults.policy == "keep" and faults.kept(f"{shown(given)}:{begin}", reason):
            mended = textfile.mended(text.rstrip("\r\n"))
            yield begin, mended, _fitted(_guessed(mended, form), form)
        else:
            faults.lost(f"{shown(given)}:{begin}", reason)
    if source.fault and not cut:
        faults.lost(f"{shown(given)}:{number + 1}", source.fault)


def _guessed(text: str, form: _Form) -> list[str]:
    """Split a record whose quotes do not match: as it stands, or without looking at quotes where only that fits."""
    cells = _cells(text, form.dialect, strict=False)
    if len(cells) != len(form.names):
        plainly = [cell.strip(form.dialect.quote) for cell in text.split(form.dialect.delimiter)]
        cells = plainly if len(plainly) == len(form.names) else cells
    return cells


def _cells(text: str, dialect: Dialect, *, strict: bool = True) -> list[str]:
    """Split one record, however long its cells."""
    if len(text) < 100_000:
        return _only(parse(io.StringIO(text, newline=""), dialect, strict=strict))
    before = csv.field_size_limit(sys.maxsize)
    try:
        return _only(parse(io.StringIO(text, newline=""), dialect, strict=strict))
    finally:
        csv.field_size_limit(before)


def _only(reader: Any) -> list[str]:
    rows = [row for row in reader if row]
    if len(rows) != 1:
        raise csv.Error("one record became several")
    return rows[0]
