"""The error tree. A user error says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class GraftError(Exception):
    """Base of everything that this package raises on purpose.

    `told` says that another process, the one that prints, has been told.
    """

    exit_code = 1
    told = False

    def __init__(self, *parts: object) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in parts))


class UserError(GraftError, ValueError):
    """What the user gave cannot be used: one message with what was expected, what came and what to do."""

    exit_code = 2


class DataError(UserError):
    """A file or a row cannot be read or used; the message names file, row and column where they are known."""


class RecipeError(UserError):
    """A recipe has faults; all of them are in the message."""


class BundleError(UserError):
    """A bundle or checkpoint is damaged, incomplete or not safe to open; the message names the file."""


class MissingPackage(UserError):
    """An optional package is not installed; the message carries the install command."""


class GateMissed(GraftError):
    """The work is done, but a gate that the recipe asked for was missed."""

    exit_code = 3


class Interrupted(GraftError):
    """The user stopped the run; it can be resumed."""

    exit_code = 130


def printable(text: str) -> str:
    """Return a text that any UTF-8 stream takes: halves of characters, as broken bytes leave them, are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def near(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def listing(names: Sequence[str], most: int = 12) -> str:
    """Return the names as quoted, comma-separated text, cut after `most` of them."""
    shown = ", ".join(f"'{name if len(name) <= 100 else name[:99] + '…'}'" for name in names[:most])
    rest = len(names) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
