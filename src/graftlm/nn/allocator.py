"""The C allocator: keep freed pages instead of returning them to the system after every step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD

OF_TRAINING, OF_ANSWERS = 1 << 30, 1 << 26
"""The largest block, in bytes, that comes from pages kept: training's steps are large and alike; a process that
answers keeps no more than twice this."""

_kept = 0


def keep_pages(largest: int = OF_TRAINING) -> bool:
    """Ask glibc to serve blocks up to `largest` bytes from the heap and to keep freed ones; return whether it agreed.

    Fresh pages are zero-filled by the kernel on first touch; on short steps that costs a quarter of the
    time. What was asked before is never made less. Does nothing where the C library is not glibc.
    """
    global _kept
    if not sys.platform.startswith("linux"):
        return False
    if largest <= _kept:
        return True
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    agreed = bool(mallopt(_MMAP_THRESHOLD, largest) and mallopt(_TRIM_THRESHOLD, min(2 * largest, (1 << 31) - 1)))
    if agreed:
        _kept = largest
    return agreed
