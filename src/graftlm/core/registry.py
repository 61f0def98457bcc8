"""Plug-ins are files: the folder is the kind, the file name is the name. Listing imports nothing."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from graftlm.core.errors import UserError, listing, near
from graftlm.core.plugin import Plugin

# kind -> folder under graftlm/plugins. This is the set of contracts, not a list of plug-ins.
FOLDERS = {
    "reader": "readers",
    "augmentation": "augmentations",
    "backbone": "backbones",
    "task": "tasks",
    "method": "methods",
    "loss": "losses",
    "balancer": "balancers",
    "optimizer": "optimizers",
    "baseline": "baselines",
    "transferability": "transferability",
    "compressor": "compressors",
    "exporter": "exporters",
    "detector": "detectors",
}


def kinds() -> list[str]:
    """Return every kind of plug-in, sorted."""
    return sorted(FOLDERS)


def kind_named(word: str) -> str:
    """Return the kind for its name or its folder's name (`method`, `methods`); raise UserError if there is none."""
    word = word.lower()
    for kind, folder in FOLDERS.items():
        if word in (kind, folder):
            return kind
    raise UserError(f"There is no kind of plug-in called '{word}'.{near(word, FOLDERS)} Kinds: {', '.join(kinds())}.")


def _package(kind: str) -> Any:
    return importlib.import_module(f"graftlm.plugins.{FOLDERS[kind]}")


def _own(kind: str) -> set[str]:
    found = pkgutil.iter_modules(_package(kind).__path__)
    return {info.name for info in found if not info.name.startswith("_")}


@cache
def _third_party(kind: str) -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=f"graftlm.{kind}")}


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of a kind, sorted; imports none of them."""
    return sorted({*_own(kind), *_third_party(kind)})


def where(kind: str, name: str) -> Path | None:
    """Return the file of a plug-in, without importing it; None if it cannot be found."""
    for folder in _package(kind).__path__:
        path = Path(folder) / f"{name}.py"
        if path.exists():
            return path
    point = _third_party(kind).get(name)
    spec = importlib.util.find_spec(point.module) if point else None
    return Path(spec.origin) if spec and spec.origin else None


def summary(kind: str, name: str) -> str:
    """Return the first line of a plug-in's module docstring, without importing it."""
    path = where(kind, name)
    if path is None:
        return ""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].strip()


def load(kind: str, name: str) -> type[Plugin]:
    """Return the class of a plug-in.

    Raises:
        UserError: no plug-in of that kind has the name; the message suggests the nearest one.
        TypeError: the file does not hold exactly one public class of the kind.
    """
    if name not in names(kind):
        raise UserError(
            f"There is no {kind} called '{name}'.{near(name, names(kind))} "
            f"Known: {listing(names(kind), 40)} (`graft list {kind}` describes them)."
        )
    own = name in _own(kind)  # a third party's plug-in of the same name is not reached
    module = importlib.import_module(
        f"graftlm.plugins.{FOLDERS[kind]}.{name}" if own else _third_party(kind)[name].module
    )
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Plugin)
        and item.kind == kind
        and item.__module__ == module.__name__
        and not item.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must hold exactly one public {kind} class, found {len(found)}")
    return found[0]


def make(kind: str, given: Any) -> Any:
    """Build a plug-in from a name, a `{"use": name, ...}` mapping, or return one that is built already.

    The result is of the kind's own class, which lies above this module and cannot be named here.

    Raises:
        UserError: no plug-in of that kind has the name.
        ValueError: what was given is none of the three; a field has a wrong value.
    """
    if isinstance(given, Plugin):
        if given.kind != kind:
            raise ValueError(f"expected one {kind}, got the {given.kind} '{given.name()}'")
        return given
    if isinstance(given, str):
        given = {"use": given}
    if not isinstance(given, dict) or not isinstance(given.get("use"), str):
        raise ValueError(f"expected the name of one {kind}, or a mapping with the key 'use'; got {given!r}")
    fields = {key: value for key, value in given.items() if key != "use"}
    return load(kind, given["use"])(**fields)
