"""Data in memory: a pandas DataFrame, a datasets.Dataset, a pyarrow Table, a list of mappings or texts, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, column, records
from graftlm.core import textfile
from graftlm.core.dialect import column_names
from graftlm.core.errors import DataError, listing


class Memory(Reader):
    """Reads objects that a program holds; places in messages are row numbers, counted from 1."""

    source: ClassVar[str] = "pandas, Hugging Face Datasets, Apache Arrow"

    def claims(self, given: Any, head: bytes) -> float:
        kind = type(given).__module__.partition(".")[0]
        named = kind in ("pandas", "datasets", "pyarrow")
        return 0.9 if named or isinstance(given, Mapping | list | tuple) else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        name = type(given).__name__
        faults = Faults(bad_rows)
        if isinstance(given, pa.Table | pa.RecordBatch):
            table = given if isinstance(given, pa.Table) else pa.Table.from_batches([given])
        elif type(given).__module__.startswith("pandas") and hasattr(given, "columns"):
            table = pa.table(
                {n: column([_own(v) for v in given.iloc[:, i]]) for i, n in enumerate(map(str, given.columns))}
            )
        elif (
            type(given).__module__.startswith("datasets")
            and hasattr(given, "column_names")
            and not isinstance(given, dict)
        ):
            table = _opened(given)
        elif isinstance(given, Mapping):
            table = _columns(given)
        elif isinstance(given, list | tuple):
            return _listed(given, faults)
        else:
            raise DataError(
                f"Expected a pandas DataFrame, a datasets.Dataset, a pyarrow Table, a list of mappings or a mapping of "
                f"columns; got a {name} ({str(given)[-80:]})."
            )
        return _sound(Corpus(_plain(table), name, None, {"form": name}), faults)


def _own(value: Any) -> Any:
    """Return a Python value for one of pandas or numpy; None for what is missing there."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    if not missing and isinstance(value, float):
        missing = value != value
    return None if missing else value


def _opened(given: Any) -> pa.Table:
    """Return a datasets.Dataset as a table, class numbers replaced by their names."""
    table = given.with_format("arrow")[:]
    for name, feature in given.features.items():
        if hasattr(feature, "int2str"):
            numbers = table.column(name).to_pylist()
            names = [None if n is None or n < 0 else feature.int2str(n) for n in numbers]
            table = table.set_column(table.column_names.index(name), name, pa.array(names, pa.string()))
    return table


def _columns(given: Mapping[Any, Any]) -> pa.Table:
    inner = [type(value).__name__ for value in given.values() if type(value).__name__ in ("Dataset", "DataFrame")]
    if inner:
        raise DataError(
            f"Expected one table, got a mapping of several ({listing(list(map(str, given)))}); "
            "give each split by itself: train=..., valid=..., test=...."
        )
    sizes = {str(name): len(values) for name, values in given.items() if hasattr(values, "__len__")}
    if len(sizes) != len(given) or any(isinstance(v, str) for v in given.values()):
        raise DataError("Expected a mapping of columns, each a list of values: {'text': [...], 'label': [...]}.")
    if len(set(sizes.values())) > 1:
        raise DataError(f"The columns differ in length: {', '.join(f'{k}: {v}' for k, v in sizes.items())}.")
    return pa.table({str(name): column([_own(v) for v in values]) for name, values in given.items()})


def _listed(given: Sequence[Any], faults: Faults) -> Corpus:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, row in enumerate(given, 1):
        if isinstance(row, Mapping):
            row = {str(key): _own(value) for key, value in row.items()}
        elif isinstance(row, str):
            row = {"text": row}
        elif isinstance(row, list | tuple):
            row = dict(zip(column_names(None, len(row)), map(_own, row), strict=True))
        else:
            found = f"expected a mapping such as {{'text': ..., 'label': ...}}, found {row!r:.60}"
            faults.lost(f"list:{number}", found)
            continue
        rows.append(row)
        lines.append(number)
    wrong = {i: why for i, row in enumerate(rows) if (why := textfile.spoilt(_text(row)))}
    for i, why in wrong.items():
        if faults.kept(f"list:{lines[i]}", why):
            rows[i] = {k: textfile.mended(v) if isinstance(v, str) else v for k, v in rows[i].items()}
        else:
            rows[i] = {}
    if faults.policy == "skip":
        lines = [line for i, line in enumerate(lines) if i not in wrong]
        rows = [row for i, row in enumerate(rows) if i not in wrong]
    return Corpus(records(rows), "list", pa.array(lines, pa.int64()), {"form": "list"}, **faults.drain())


def _text(row: Mapping[str, Any]) -> str:
    return "".join(value for value in row.values() if isinstance(value, str))


def _plain(table: pa.Table) -> pa.Table:
    """Open dictionaries, and use the small string type that files are read into."""
    for place, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
            kind = pa.string()
        if kind != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(kind))
    return table


def _sound(corpus: Corpus, faults: Faults) -> Corpus:
    """Leave out or mend rows with NUL characters; Arrow's own strings hold no broken bytes."""
    import pyarrow.compute as pc

    table = corpus.table
    bad = pa.array([False] * table.num_rows)
    texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
    for name in texts:
        bad = pc.or_(bad, pc.fill_null(pc.match_substring(table.column(name), "\0"), False).combine_chunks())
    places = pc.indices_nonzero(bad).to_pylist()
    if not places:
        return corpus
    mend = all([faults.kept(f"{corpus.source}:{place + 1}", "a NUL character") for place in places])
    lines = pa.array(range(1, table.num_rows + 1), pa.int64())
    if mend:
        for name in texts:
            fixed = pc.replace_substring(table.column(name), "\0", "\ufffd")
            table = table.set_column(table.column_names.index(name), name, fixed)
    else:
        keep = pc.invert(bad)
        table, lines = table.filter(keep), lines.filter(keep)
    return Corpus(table, corpus.source, lines, corpus.facts, **faults.drain())
