import errno

import pyarrow as pa
import pytest

from graftlm.contracts import tables
from graftlm.core import cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(tables, "BIG", 1000)
    return tmp_path / "kept"


def batches(count=40):
    return [
        pa.record_batch(
            {"text": [f"row {n} of {part}, 很好" for n in range(25)], "list": [[n, None] for n in range(25)]}
        )
        for part in range(count)
    ]


def on_disk(table):
    return bool(table.schema.metadata)


def test_small_tables_stay_in_memory_and_large_ones_leave_nothing_behind(folder):
    one, *_ = batches(1)
    small = tables.Spool(one.schema)
    small.add(one.slice(0, 2))
    assert not on_disk(small.table())
    assert not folder.exists()
    large = tables.Spool(one.schema)
    for batch in batches():
        large.add(batch)
    found = large.table()
    assert on_disk(found)
    assert found.equals(pa.Table.from_batches(batches()))
    assert list(folder.iterdir()) == []  # the file has no name
    tables.rest()
    tables.release()
    assert found.equals(pa.Table.from_batches(batches()))
    assert tables.stored(found) is found


def test_stored_takes_a_table_of_any_chunks():
    whole = pa.Table.from_batches(batches()).slice(7, 900)
    assert on_disk(tables.stored(whole))
    assert tables.stored(whole).equals(whole)
    assert tables.stored(whole.slice(0, 1)).num_rows == 1


def test_a_full_disk_means_memory_and_no_lost_row(monkeypatch):
    expected = batches()
    spool = tables.Spool(expected[0].schema)
    for number, batch in enumerate(expected):
        if number == 20:
            whole, room = spool._sink.write_batch, [2]

            class Full:
                def write_batch(self, batch, room=room, whole=whole):
                    if room[0] == 0:
                        spool._file.write(b"half a batch")
                        raise OSError(errno.ENOSPC, "No space left on device")
                    room[0] -= 1
                    whole(batch)

            spool._sink = Full()
        spool.add(batch)
    assert spool._full
    assert spool.table().equals(pa.Table.from_batches(expected))


def test_without_any_place_for_files_memory_has_to_do(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tables.tempfile, "TemporaryFile", refuse)
    spool = tables.Spool(batches()[0].schema)
    for batch in batches():
        spool.add(batch)
    assert spool.table().equals(pa.Table.from_batches(batches()))


def test_written_and_read(tmp_path):
    table = pa.Table.from_batches(batches())
    tables.write(tmp_path / "a.arrow", table)
    assert tables.read(tmp_path / "a.arrow").equals(table)
    assert list(tables.resting(range(40), every=3)) == list(range(40))
