"""Watching a run in a terminal: a live line there, plain lines elsewhere; all of it on standard error."""

from __future__ import annotations

import logging
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from graftlm.contracts.progress import Progress as Step
from graftlm.core import log

PLAIN_SECONDS = 10.0
"""Seconds between two plain lines, where nobody sees a live one."""


LIVE_SECONDS = 1.0
"""Seconds after which a pass over rows gets a bar."""


class Screen:
    """Shows stages, notes and the state of training."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self.live: Progress | None = None
        self.bar: Any = None
        self.spoken = 0.0
        self.passed = ""

    def __enter__(self) -> Screen:
        """Take over what the package says of itself."""
        logger = logging.getLogger("graftlm")
        self.before = (logger.handlers, logger.level, logger.propagate)
        logger.handlers, logger.propagate = [_Notes(self)], False
        logger.setLevel(logging.INFO)
        self.hearing = log.watching(self.advance)
        self.hearing.__enter__()
        return self

    def __exit__(self, *fault: object) -> None:
        """End the live line, however the run ended, and leave the log as it was."""
        self._close()
        self.hearing.__exit__(None, None, None)
        logger = logging.getLogger("graftlm")
        logger.handlers, level, logger.propagate = self.before
        logger.setLevel(level)

    def stage(self, name: str) -> None:
        """Say that a stage begins."""
        self._close()
        if name:
            self.console.print(f"[bold cyan]{name}[/]" if self.console.is_terminal else f"{name} ...")

    def advance(self, what: str, done: int, of: int | None) -> None:
        """Show how far a long pass over rows is; short ones are never seen."""
        now = time.monotonic()
        if what != self.passed:
            self.passed, self.spoken = what, now
            self._close()
        total = "" if of is None else f" of {of:,}"
        if not self.console.is_terminal:
            if now - self.spoken > PLAIN_SECONDS:
                self.spoken = now
                self.console.print(f"  {what}: {done:,}{total} rows", markup=False)
            return
        if self.live is None:
            if now - self.spoken < LIVE_SECONDS:
                return
            self.live = Progress(
                TextColumn("  {task.description}"), BarColumn(bar_width=24), console=self.console, transient=True
            )
            self.live.start()
            self.bar = self.live.add_task("", total=of)
        self.live.update(self.bar, completed=done, total=of, description=f"{what}: {done:,}{total} rows")
        if of is not None and done >= of:
            self._close()

    def progress(self, step: Step) -> None:
        """Show the state after a step."""
        if self.console.is_terminal:
            self._live(step)
        elif step.score is not None or step.last or time.monotonic() - self.spoken > PLAIN_SECONDS:
            self.spoken = time.monotonic()
            self.console.print(f"  step {step.step}/{step.steps}  {_figures(step)}", markup=False)
        if step.last:
            self._close()

    def _live(self, step: Step) -> None:
        if self.passed:
            self.passed = ""
            self._close()
        if self.live is None:
            self.live = Progress(
                TextColumn("  {task.completed}/{task.total}"),
                BarColumn(bar_width=24),
                TextColumn("{task.description}"),
                console=self.console,
            )
            self.live.start()
            self.bar = self.live.add_task("", total=step.steps)
        self.live.update(self.bar, completed=step.step, total=step.steps, description=_figures(step))
        if step.score is not None:
            star = " (best)" if step.best else ""
            self.live.console.print(f"  epoch {step.epoch:.2f}: validation {step.score.value:.4f}{star}", markup=False)

    def _close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


class _Notes(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self.screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        mark = "warning: " if record.levelno >= logging.WARNING else ""
        self.screen.console.print(f"  {mark}{record.getMessage()}", style="yellow" if mark else "dim", markup=False)


def _figures(step: Step) -> str:
    parts = [f"loss {step.loss:.4f}"]
    if step.score is not None:
        parts.append(f"validation {step.score.value:.4f}" + (" (best)" if step.best else ""))
    parts.append(f"{step.examples_per_second:.0f} examples/s")
    parts.append(f"padding {step.padding_share:.1%}")
    minutes, seconds = divmod(int(step.seconds_left), 60)
    parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(parts)
