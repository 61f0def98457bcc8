"""Parquet files, row group by row group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet

from graftlm.contracts.reader import PIECE_ROWS, BadRows, Corpus, Reader, a_file, join, shown
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
        done = 0
        try:
            with pa.parquet.ParquetFile(given) as file:
                facts = {"format": f"Parquet {file.metadata.format_version}"}
                for batch in file.iter_batches(PIECE_ROWS):
                    lines = pa.array(range(done + 1, done + batch.num_rows + 1), pa.int64())
                    done += batch.num_rows
                    yield Corpus(_opened(pa.Table.from_batches([batch])), shown(given), lines, facts)
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
