"""The C allocator: keep freed pages instead of returning them to the system after every step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


def keep_pages() -> bool:
    """Ask glibc to serve large blocks from the heap and to keep freed ones; return whether it agreed.

    Fresh pages are zero-filled by the kernel on first touch; on short steps that costs a quarter of the
    time. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
