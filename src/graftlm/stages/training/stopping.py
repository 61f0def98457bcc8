"""Stopping on purpose: Ctrl-C and SIGTERM ask for a checkpoint first; a second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any


class Stop:
    """Becomes true after the first signal; among several processes, once all know of the signal to one of them."""

    def __init__(self, together: bool = False) -> None:
        self.asked = ""
        self.together, self.agreed = together, False

    def __call__(self) -> bool:
        """Tell whether a stop was asked for, of which every process knows."""
        return self.agreed if self.together else bool(self.asked)

    def heard(self) -> bool:
        """Tell whether this process was asked."""
        return bool(self.asked)

    def agree(self, stop: bool) -> None:
        """Take over what the processes have agreed on."""
        self.agreed = stop
        if stop and not self.asked:
            self.asked = "a signal to another process"


ECHO = 2.0
"""Seconds within which a second signal to one of several processes is the first one's echo: a launcher passes on what
the terminal has sent to all."""


@contextlib.contextmanager
def listening(together: bool = False) -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM while in the block; only the main thread can."""
    stop, first = Stop(together), [0.0]
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def heard(number: int, _frame: Any) -> None:
        if not first[0]:
            first[0] = time.monotonic()
            stop.asked = signal.Signals(number).name
        elif not together or time.monotonic() - first[0] > ECHO:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does, while in the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, _frame: Any) -> None:
        raise KeyboardInterrupt(f"Stopped by {signal.Signals(number).name}.")

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
