import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.parquet import Parquet


def test_keeps_types_and_opens_dictionaries(tmp_path):
    path = tmp_path / "data.parquet"
    kinds = pa.array(["x", "y", "x"]).dictionary_encode()
    table = pa.table({"text": pa.array(["a", "文", None], pa.large_string()), "n": [1, 2, 3], "kind": kinds})
    pq.write_table(table, path)
    corpus = Parquet().read(path)
    assert corpus.table.schema.types == [pa.string(), pa.int64(), pa.string()]
    assert corpus.table.to_pylist() == table.to_pylist()
    assert corpus.where(2) == f"{path}:3"


def test_pieces_count_on(tmp_path, monkeypatch):
    monkeypatch.setattr("graftlm.plugins.readers.parquet.PIECE_ROWS", 4)
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"n": list(range(10))}), path)
    pieces = list(Parquet().pieces(path))
    assert [len(piece.table) for piece in pieces] == [4, 4, 2]
    assert pieces[2].where(1) == f"{path}:10"


def test_no_rows_still_have_columns(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    assert Parquet().read(path).table.column_names == ["text"]


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": ["a"] * 1000}), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="data.parquet: this cannot be read as Parquet"):
        Parquet().read(path)
