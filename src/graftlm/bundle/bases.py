"""The base that an adapter stands on: in the bundle itself, or named so that it is the same one everywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, cast

from graftlm.bundle.strict import refuse
from graftlm.contracts.backbone import Backbone, Base, Card
from graftlm.core import registry
from graftlm.core.errors import BundleError, UserError

ALONG = "base"
"""Folder of a bundle with the base, where it goes along."""

KEYS = {
    "bundle": {"from", "sha256"},
    "package": {"from", "sha256", "name", "weights"},
    "repository": {"from", "sha256", "name", "revision"},
}
_COMMIT, _DIGEST = "[0-9a-f]{40}", "[0-9a-f]{64}"
_SHAPES = {
    "sha256": _DIGEST,
    "weights": _DIGEST,
    "revision": _COMMIT,
}


def named(card: Card) -> dict[str, str] | None:
    """Return how the very base of a card is found anywhere, None where nothing names it: it then has to go along.

    A package has it under its name, with the SHA-256 of its weights; the Hub under its name and commit.
    """
    if card.embedded is not None:
        return {"from": "package", "name": card.name, "weights": card.embedded}
    if card.hub_id is not None and re.fullmatch(_COMMIT, card.revision or ""):
        return {"from": "repository", "name": card.hub_id, "revision": str(card.revision)}
    return None


def check(path: Path, entry: Any) -> None:
    """Check what a manifest says of the base of an adapter; with the standard library alone.

    Raises:
        BundleError: it is none of the three forms.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("from"), str) or entry["from"] not in KEYS:
        refuse(path, f"the base of the adapter from {', '.join(KEYS)}", repr(entry)[:80])
    name = r"[\w.-]+/[\w.-]+|[\w.-]+" if entry["from"] == "repository" else r"[\w.-]+"
    shapes = {**_SHAPES, "name": name, "from": ".*"}
    for key in KEYS[entry["from"]] | set(entry):
        value = entry.get(key)
        if key not in KEYS[entry["from"]] or not isinstance(value, str) or not re.fullmatch(shapes[key], value):
            refuse(
                path, f"the keys {', '.join(sorted(KEYS[entry['from']]))} of the adapter's base", f"{key}: {value!r}"
            )


def apart(entry: Mapping[str, str]) -> bool:
    """Tell whether the base is elsewhere, under a name."""
    return entry["from"] != "bundle"


def title(entry: Mapping[str, str]) -> str:
    """Return what PEFT and people call the base."""
    return ALONG if entry["from"] == "bundle" else entry["name"]


def told(entry: Mapping[str, str]) -> str:
    """Return a sentence's worth of where the base comes from."""
    if entry["from"] == "package":
        return f"the base '{entry['name']}' of an installed package, its weights with SHA-256 {entry['weights']}"
    if entry["from"] == "repository":
        return f"the base {entry['name']} of the Hugging Face Hub at commit {entry['revision']}"
    return f"the base in '{ALONG}/'"


def opened(file: Path, entry: Mapping[str, str]) -> Base:
    """Open a named base, which has to be the very one.

    Raises:
        BundleError: it is not there, or another one; the message says which was expected.
    """
    fields = {"use": entry["name"]} if entry["from"] == "package" else _published(entry)
    try:
        base: Base = registry.make("backbone", fields).open()
    except (UserError, ValueError) as fault:
        raise BundleError(f"{file}: expected {told(entry)}. {' '.join(str(fault).split())[:600]}") from None
    if entry["from"] == "package" and base.card.embedded != entry["weights"]:
        wrong(file, entry, f"weights with SHA-256 {base.card.embedded}")
    return base


def _published(entry: Mapping[str, str]) -> dict[str, Any]:
    for name in registry.names("backbone"):
        kind = cast("type[Backbone]", registry.load("backbone", name))
        found = kind.published(entry["name"], entry["revision"])
        if found is not None:
            return {"use": name, **found}
    raise RuntimeError("no backbone opens what is published")


def wrong(file: Path, entry: Mapping[str, str], came: str) -> NoReturn:
    """Raise what is said where a base is not the one that the adapter was trained on."""
    refuse(
        file, told(entry), came, "An adapter fits the base it was trained on and no other: install or fetch that one."
    )
