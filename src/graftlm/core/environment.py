"""The process and the program: settings that libraries read from the environment, and marks of the code that runs."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from pathlib import Path

from graftlm.core import hashing, log

SPINS = "1000"
"""Turns of the loop in which a thread of OpenMP waits before it sleeps, beside other programs; its own: 300,000."""
_LOAD = Path("/proc/loadavg")


def settle() -> None:
    """Switch the tokenizers' own threads off, and fit torch's to a busy machine, unless the user has said otherwise.

    A process that forks after the former have run (a data loader, a server's worker) would wait for ever on
    a lock that nobody holds. Batches of texts are tokenised in a small part of the time that the
    model needs for them, so that the threads are not missed.

    GNU OpenMP, which torch's Linux builds bring, lets threads wait for each other in a loop at the end of each
    operation. Where another program runs, the one waited for has no processor to come on, and a step takes several
    times as long (docs/decisions/0011). It reads its settings when torch is imported: later, nothing can be changed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # PEFT imports it where it is installed, whatever the run asks for, and it then misses kernels for processors
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    said = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if not said and "torch" not in sys.modules and neighbours():
        os.environ["GOMP_SPINCOUNT"] = SPINS
        log.note("other programs keep processors busy: torch's threads sleep while they wait for each other")


@functools.cache
def neighbours() -> bool:
    """Tell whether other programs are computing right now; False where the system does not tell (no Linux)."""
    running = []
    for _ in range(5):
        try:
            running.append(int(_LOAD.read_text(encoding="ascii").split()[3].partition("/")[0]))
        except (OSError, ValueError, IndexError):
            return False
        time.sleep(0.01)
    return sorted(running)[2] > 1  # one is this process


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
