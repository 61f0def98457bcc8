"""The process and the program: settings that libraries read from the environment, and marks of the code that runs."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from graftlm.core import hashing


def settle() -> None:
    """Switch the tokenizers' own threads off, unless the user has said otherwise.

    A process that forks after they have run (a data loader, a server's worker) would wait for ever on
    a lock that nobody holds. Batches of texts are tokenised in a small part of the time that the
    model needs for them, so that the threads are not missed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@functools.cache
def code_mark() -> str:
    """Return a mark of this package's files, which changes when one of them does: results kept on disk carry it."""
    root = Path(__file__).resolve().parents[1]
    files = [(path.relative_to(root).as_posix(), path.stat()) for path in sorted(root.rglob("*.py"))]
    return hashing.of_value([(name, found.st_size, found.st_mtime_ns) for name, found in files])


def file_mark(module: str) -> str:
    """Return a mark of the file of a module, which may be of another package."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return hashing.of_file(Path(path)) if path else module
