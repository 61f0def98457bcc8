"""The run's log: one JSON object a line, and plain notes to whoever listens."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger("graftlm")


def note(text: str) -> None:
    """Say something that was chosen or found, once, where the user can see it."""
    logger.info(text)


def warn(text: str) -> None:
    """Say something that the user should look at."""
    logger.warning(text)


_watching: list[Callable[[str, int, int | None], None]] = []


def advance(what: str, done: int, of: int | None = None) -> None:
    """Say how far a long pass over rows is; `of` is None where nobody knows how many there are."""
    for hear in _watching:
        hear(what, done, of)


@contextlib.contextmanager
def watching(hear: Callable[[str, int, int | None], None]) -> Iterator[None]:
    """Let `hear(what, done, of)` know of each `advance` while in the block."""
    _watching.append(hear)
    try:
        yield
    finally:
        _watching.remove(hear)


class RunLog:
    """Appends JSON lines to a file; each line is written whole and flushed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        if path.exists() and (held := path.read_bytes()) and not held.endswith(b"\n"):
            with path.open("a", encoding="utf-8") as handle:  # a line that a killed run left half-written
                handle.write("\n")

    def write(self, event: str, **values: Any) -> None:
        """Append one event with its values."""
        line = json.dumps({"event": event, **values}, ensure_ascii=False, default=str)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")
