"""Memory of this process, as the system counts it."""

from __future__ import annotations

import sys


def peak_bytes() -> int:
    """Return the largest resident size that this process has had, in bytes."""
    try:
        import resource
    except ImportError:  # Windows has no resource module
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) if sys.platform == "darwin" else int(most) * 1024


def ran_out(fault: BaseException) -> bool:
    """Tell whether a fault says that memory could not be had, from the processor's allocator or a device's."""
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return True
    said = str(fault).lower()
    return isinstance(fault, RuntimeError) and any(one in said for one in _SHORTAGE)


_SHORTAGE = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def resident_bytes() -> int:
    """Return the resident size that this process has now, in bytes."""
    import psutil

    return int(psutil.Process().memory_info().rss)
