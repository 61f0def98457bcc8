"""Tables on disk: what is large is written batch by batch to a nameless file and read back by memory map.

A nameless file is gone when the process ends, however it ends. Its pages are the system's to take back, and `rest`
gives them back at once, so that a pass over a large table leaves nothing behind in memory.
"""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from graftlm.core import log

if TYPE_CHECKING:
    import pyarrow as pa

BIG = 8 << 20
"""Bytes from which on a table goes to disk."""
_MARK = b"graftlm-on-disk"
_maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


class Spool:
    """Takes record batches of one schema; holds them in memory up to `BIG` bytes, on disk beyond."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema.with_metadata(None)
        self._held: list[pa.RecordBatch] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._sink: Any = None
        self._sound = 0  # bytes of the file that are whole batches
        self._written = 0
        self._full = False

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows."""
        for batch in table.to_batches() if hasattr(table, "to_batches") else [table]:
            self._held.append(batch.replace_schema_metadata(None))
            self._size += batch.nbytes
        if self._size > BIG and not self._full:
            self._flush()

    def table(self) -> pa.Table:
        """Return everything that was added; the spool is used up."""
        import pyarrow as pa

        if self._file is None:
            return pa.Table.from_batches(self._held, self.schema)
        if not self._full:
            self._flush()
        batches = self._back()
        return pa.Table.from_batches([*batches, *self._held], self.schema.with_metadata({_MARK: b"1"}))

    def _flush(self) -> None:
        """Write what is held; where the disk takes no more, it and the rest stay in memory."""
        import pyarrow as pa

        try:
            if self._file is None:
                self._file = _nameless()
                weakref.finalize(self, self._file.close)
                self._sink = pa.ipc.new_stream(self._file, self.schema)
            while self._held:
                self._sink.write_batch(self._held[0])
                self._file.flush()
                self._sound = self._file.tell()
                self._written += 1
                del self._held[0]
        except OSError as fault:
            log.note(f"large tables stay in memory: no temporary file can be written ({fault.strerror or fault})")
            self._full = True

    def _back(self) -> list[pa.RecordBatch]:
        import pyarrow as pa

        if not self._written or self._file is None:
            return []
        self._file.truncate(self._sound)
        stream = pa.ipc.open_stream(_mapped(self._file))
        return [stream.read_next_batch() for _ in range(self._written)]


def stored(table: pa.Table) -> pa.Table:
    """Return a table that is on disk if it is large."""
    if table.nbytes <= BIG or (table.schema.metadata or {}).get(_MARK):
        return table
    spool = Spool(table.schema)
    spool.add(table)
    return spool.table()


def write(path: Path, table: pa.Table) -> None:
    """Write a table to a file that `read` maps."""
    import pyarrow as pa

    schema = table.schema.with_metadata(None)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for batch in resting(table.to_batches()):
            stream.write_batch(batch.replace_schema_metadata(None))


def read(path: Path) -> pa.Table:
    """Return a table whose columns stay on disk until they are read."""
    import pyarrow as pa

    with path.open("rb") as file:
        stream = pa.ipc.open_stream(_mapped(file))
        return pa.Table.from_batches(list(stream), stream.schema.with_metadata({_MARK: b"1"}))


def release() -> None:
    """Rest, and give back what Arrow keeps of memory that it no longer needs."""
    import pyarrow as pa

    rest()
    pa.default_memory_pool().release_unused()


def rest() -> None:
    """Give back the memory that pages of mapped tables take; reading them again brings them back."""
    for held in list(_maps):
        if hasattr(held, "madvise"):  # Windows lacks it, and takes pages back by itself
            held.madvise(mmap.MADV_DONTNEED)


def resting(parts: Iterable[Any], every: int = 16) -> Iterable[Any]:
    """Yield what is given, and rest after so many parts and at the end."""
    for number, part in enumerate(parts, 1):
        yield part
        if number % every == 0:
            rest()
    rest()


def _mapped(file: IO[bytes]) -> Any:
    import pyarrow as pa

    held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _maps.add(held)
    return pa.py_buffer(held)


def _nameless() -> IO[bytes]:
    """Open a nameless file in the folder of the cache, or where the system keeps temporary files."""
    from graftlm.core import cache

    root = cache.folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=root, prefix=".tmp-")
    except OSError:
        return tempfile.TemporaryFile(prefix="graftlm-")
