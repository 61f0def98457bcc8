"""Strict JSON: no key twice, no NaN, bounded size and depth. What two parsers read differently is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from graftlm.core.errors import BundleError

AGAIN = "Fetch the bundle again from where it was made, or write it anew with `graft fit`."


def refuse(file: Path | str, expected: str, came: str, advice: str = AGAIN) -> NoReturn:
    """Raise the one sentence of all refusals: the file, what was expected, what came, what to do."""
    shown = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in str(file))
    raise BundleError(f"{shown}: expected {expected}; got {came}. {advice}")


def parse(file: Path | str, raw: bytes) -> Any:
    """Return the value of UTF-8 JSON bytes.

    Raises:
        BundleError: it is not JSON, or holds a key twice, a number that is not finite, or nests too deep.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            refuse(file, "each key once", f"the key {twice!r} twice")
        return found

    def constant(name: str) -> NoReturn:
        refuse(file, "finite numbers", name)

    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=once, parse_constant=constant)
    except UnicodeDecodeError as fault:
        refuse(file, "UTF-8 text", f"byte 0x{raw[fault.start]:02x} at position {fault.start}")
    except RecursionError:
        refuse(file, "JSON of a reasonable depth", "values nested too deep to read")
    except BundleError:
        raise
    except ValueError as fault:
        refuse(file, "JSON", f"something else ({fault})")


def mapping(file: Path | str, raw: bytes) -> dict[str, Any]:
    """Return the value of JSON bytes that must be an object."""
    value = parse(file, raw)
    if not isinstance(value, dict):
        refuse(file, "a JSON object", f"a {type(value).__name__}")
    return value
