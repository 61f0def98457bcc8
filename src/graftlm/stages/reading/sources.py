"""Which reader reads a source; what to say where none does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, cast

from graftlm.contracts.reader import Reader
from graftlm.core import registry, textfile
from graftlm.core.errors import DataError, listing, near
from graftlm.core.textfile import Piped

_LEAST = 0.2  # a claim below is a last resort: text of no known form


def find(given: Any, reader: Reader | None = None) -> tuple[Reader, Any]:
    """Return the reader of a source, and the source as the reader wants it.

    `given` is a path, "-" for standard input, a Hub name or an object in memory.

    Raises:
        DataError: there is no such file, it is empty, or no reader understands it.
    """
    if isinstance(given, str) and given == "-":
        given = Piped(cast(Any, sys.stdin.buffer))
    head = b""
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        if path.exists():
            given = path
            head = textfile.head(path) if path.is_file() else b""
            if path.is_file() and path.stat().st_size == 0:
                raise DataError(f"{path}: the file is empty; expected rows with a text in each.")
        else:
            given = str(given)
            _likely_absent(path, reader)
    elif isinstance(given, Piped):
        head = textfile.head(given)
        if not head:
            raise DataError(f"{given}: nothing came; expected rows with a text in each.")
    if reader is not None:
        if isinstance(given, str) and reader.claims(given, head) == 0:
            raise _absent(Path(given))
        return reader, given
    readers = [cast(Reader, registry.make("reader", name)) for name in registry.names("reader")]
    claims = [(item.claims(given, head), item) for item in readers]
    best, chosen = max(claims, key=lambda claim: claim[0])
    if best >= _LEAST:
        return chosen, given
    if isinstance(given, str):
        raise _absent(Path(given))
    form = _unread(given, head) if isinstance(given, Path) else None
    if best == 0 or form is not None:
        what = f"'{given}'" if isinstance(given, Path | Piped) else f"a {type(given).__name__}"
        raise DataError(
            f"No reader understands {what}{f': this looks like {form}, which no reader reads yet' if form else ''}. "
            f"Readers: {listing([item.name() for item in readers], 40)}. Save the data as CSV or JSON lines, or name a "
            "reader with data.reader."
        )
    return chosen, given


def _likely_absent(path: Path, reader: Reader | None) -> None:
    """Say at once that a file is missing where its name tells that a file is meant."""
    meant = path.suffix or path.is_absolute() or len(path.parts) > 2
    alike = path.parent.is_dir() and near(path.name, [item.name for item in path.parent.iterdir()])
    if reader is None and ((meant and ":" not in path.name and not _hub_like(path)) or alike):
        raise _absent(path)


def _hub_like(path: Path) -> bool:
    return len(path.parts) == 2 and not path.parent.exists() and not re.search(r"\.[a-z]{2,7}$", path.name)


def _absent(path: Path) -> DataError:
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"There is no file or folder '{path}': the folder '{folder}' does not exist.")
    names = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    hint = near(path.name, names)
    found = f" '{folder}' holds {listing(names)}." if names else f" '{folder}' is empty."
    return DataError(f"There is no file or folder '{path}'.{hint}{found}")


def _unread(path: Path, head: bytes) -> str | None:
    """Return the name of a form that people bring and no reader reads, or None."""
    what = textfile.binary(head)
    if what is not None:
        return what
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    text = head.decode("utf-8", "replace").lstrip()
    if suffix in ("yml", "yaml"):
        return "YAML"
    if suffix in ("xml", "html", "htm") or text.startswith(("<?xml", "<!DOCTYPE", "<html")):
        return "XML or HTML"
    return None
