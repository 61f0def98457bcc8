"""Parquet files, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from graftlm.contracts.reader import PIECE_ROWS, BadRows, Corpus, Faults, Reader, a_file, join, shown
from graftlm.core import textfile
from graftlm.core.errors import DataError


class Parquet(Reader):
    """Keeps the file's own types; dictionaries are opened into their values."""

    source: ClassVar[str] = "Apache Parquet format"

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path):
            return 0.0
        return 0.95 if head.startswith(b"PAR1") else 0.6 if given.suffix.lower() in (".parquet", ".pq") else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        return join(self.pieces(given, bad_rows=bad_rows))

    def pieces(self, given: Any, *, bad_rows: BadRows = "stop") -> Iterator[Corpus]:
        given = a_file(given)
        done, faults = 0, Faults(bad_rows)
        try:
            with pa.parquet.ParquetFile(given) as file:
                facts = {"format": f"Parquet {file.metadata.format_version}"}
                for batch in file.iter_batches(PIECE_ROWS):
                    lines = pa.array(range(done + 1, done + batch.num_rows + 1), pa.int64())
                    done += batch.num_rows
                    table, lines = _mended(_opened(pa.Table.from_batches([batch])), lines, shown(given), faults)
                    yield Corpus(table, shown(given), lines, facts, **faults.drain())
                if not done:
                    empty = file.schema_arrow.empty_table()
                    yield Corpus(_opened(empty), shown(given), pa.array([], pa.int64()), facts)
        except (pa.ArrowException, OSError) as fault:
            raise DataError(
                f"{given}: this cannot be read as Parquet, after {done} rows ({' '.join(str(fault).split())[:200]}). "
                "The file is damaged or incomplete; get it anew."
            ) from None


def _opened(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            kind = pa.string()
        if kind != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(kind))
    return table


def _mended(table: pa.Table, lines: pa.Array, source: str, faults: Faults) -> tuple[pa.Table, pa.Array]:
    """Apply the policy to rows whose texts are no UTF-8 or hold a NUL, which the format itself lets through."""
    wrong: dict[int, str] = {}
    columns: dict[str, list[str | None]] = {}
    for name in table.column_names:
        column = table.column(name)
        if not pa.types.is_string(column.type) or _sound(column):
            continue
        held = [None if value is None else value.decode("utf-8", "graftlm-mark")
                for chunk in column.chunks for value in chunk.view(pa.binary()).to_pylist()]  # fmt: skip
        columns[name] = [None if value is None else textfile.mended(value) for value in held]
        for row, value in enumerate(held):
            if value is not None and (reason := textfile.spoilt(value)):
                wrong.setdefault(row, reason)
    if not wrong:
        return table, lines
    gone = {row for row, reason in sorted(wrong.items()) if not faults.kept(f"{source}:{lines[row]}", reason)}
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    keep = pa.array([row not in gone for row in range(table.num_rows)], pa.bool_())
    return table.filter(keep), lines.filter(keep)


def _sound(column: pa.ChunkedArray) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return not pa.compute.any(pa.compute.match_substring(column, "\0")).as_py()
