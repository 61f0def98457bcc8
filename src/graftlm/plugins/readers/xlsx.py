"""Excel workbooks (.xlsx): one sheet, its header found out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, a_file, column, plain, shown
from graftlm.core import textfile
from graftlm.core.dialect import column_names, has_header
from graftlm.core.errors import DataError, listing, near
from graftlm.core.optional import need


class Xlsx(Reader):
    """Reads values, not formulas; a number keeps its type where its whole column is numbers."""

    source: ClassVar[str] = "ECMA-376, through openpyxl"
    sheet: str | None = None
    """Name of the sheet; None: the first."""
    header: bool | None = None
    """Whether the first row names the columns; None: found out."""

    def claims(self, given: Any, head: bytes) -> float:
        return 0.95 if isinstance(given, Path) and given.suffix.lower() in (".xlsx", ".xlsm") else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = a_file(given)
        openpyxl = need("openpyxl", "xlsx", f"Reading {given}")
        try:
            title, rows = self._rows(openpyxl, given)
        except DataError:
            raise
        except Exception as fault:  # a damaged workbook comes out of openpyxl, lxml, zipfile and zlib in their own ways
            raise DataError(
                f"{given}: this cannot be read as an Excel workbook ({type(fault).__name__}: "
                f"{' '.join(str(fault).split())[:200]}); save it anew, or as CSV."
            ) from None
        facts = {"sheet": title}
        if not rows:
            raise DataError(f"{given}: sheet '{facts['sheet']}' is empty; expected a table with a text in each row.")
        width = max(len(row) for _, row in rows)
        texts = [[plain(cell) or "" for cell in row] for _, row in rows[:200]]
        header = has_header(texts) if self.header is None else self.header
        facts["header"] = "first row" if header else "none: columns are numbered"
        names = column_names(rows[0][1] if header else None, width)
        faults = Faults(bad_rows)
        kept: list[list[Any]] = []
        lines: list[int] = []
        for number, row in rows[1:] if header else rows:
            wrong = textfile.spoilt("".join(cell for cell in row if isinstance(cell, str)))
            if wrong is not None:
                if not faults.kept(f"{shown(given)}:{number}", wrong):
                    continue
                row = [textfile.mended(cell) if isinstance(cell, str) else cell for cell in row]
            kept.append(row + [None] * (width - len(row)))
            lines.append(number)
        columns = zip(*kept, strict=True) if kept else ((),) * width
        table = pa.table({name: column(list(values)) for name, values in zip(names, columns, strict=True)})
        return Corpus(table, shown(given), pa.array(lines, pa.int64()), facts, **faults.drain())

    def _rows(self, openpyxl: Any, given: Any) -> tuple[str, list[tuple[int, list[Any]]]]:
        """Return the title of the sheet, and its rows that are not empty with their numbers."""
        with open(given, "rb") as handle:
            book = openpyxl.load_workbook(io.BytesIO(handle.read()), read_only=True, data_only=True)
        try:
            if self.sheet is not None and self.sheet not in book.sheetnames:
                raise DataError(
                    f"{given}: there is no sheet '{self.sheet}'.{near(self.sheet, book.sheetnames)} "
                    f"Sheets: {listing(book.sheetnames)}."
                )
            sheet = book[self.sheet or book.sheetnames[0]]
            if not hasattr(sheet, "iter_rows"):
                raise DataError(f"{given}: sheet '{sheet.title}' is a chart; name one with rows by the field 'sheet'.")
            rows = [
                (number, list(row))
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
                if any(cell is not None for cell in row)
            ]
            return str(sheet.title), rows
        finally:
            book.close()
