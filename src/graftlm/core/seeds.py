"""One root seed; every stream of random numbers is a named child of it."""

from __future__ import annotations

import hashlib
from typing import Any


def child(seed: int, *names: Any) -> int:
    """Return the seed of the stream with the given names: 63 bits, a function of its arguments alone."""
    text = ":".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: Any) -> Any:
    """Return a numpy Generator for the named stream."""
    import numpy

    return numpy.random.default_rng(child(seed, *names))
