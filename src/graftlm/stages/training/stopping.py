"""Stopping on purpose: Ctrl-C and SIGTERM ask for a checkpoint first; a second one stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Stop:
    """Becomes true after the first signal."""

    def __init__(self) -> None:
        self.asked = ""

    def __call__(self) -> bool:
        """Tell whether a stop was asked for."""
        return bool(self.asked)


@contextlib.contextmanager
def listening() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM while in the block; only the main thread can."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def heard(number: int, _frame: Any) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = signal.Signals(number).name

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
