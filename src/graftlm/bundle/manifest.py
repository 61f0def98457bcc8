"""`graft.json`: what a bundle is and what it holds, written last and sealed with its own digest.

The digests find damage and mix-ups. They are no signature: who can rewrite the folder can rewrite them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from graftlm.bundle import adapter_files, bases
from graftlm.bundle.strict import mapping, refuse
from graftlm.core import hashing

NAME = "graft.json"
FORMAT, NEWEST = 1, 2
"""What whole models are written in, and what bundles with an adapter are."""
SHARED = "shared"
"""Style of a bundle of several tasks: one backbone, and what each task has of its own in `heads/`."""
TASK = r"\w[\w -]{0,63}"
"""Names of tasks of a shared bundle: files are called by them."""
LARGEST = 16 * 1024 * 1024
"""Bytes of `graft.json`: enough for tens of thousands of labels."""

_SEAL = re.compile(rb',\n  "seal": "([0-9a-f]{64})"\n\}\n\Z')


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return the bytes of the manifest, the SHA-256 of all that stands before it as its last key."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False).encode("utf-8")
    body = text.removesuffix(b"\n}")
    digest = hashlib.sha256(body).hexdigest()
    return body + f',\n  "seal": "{digest}"\n}}\n'.encode()


def read(path: Path) -> dict[str, Any]:
    """Return the manifest of a bundle, checked for damage and for shape.

    Raises:
        BundleError: it is damaged, from a newer version, or does not have the keys of a manifest.
    """
    size = path.stat().st_size
    if size > LARGEST:
        refuse(path, f"at most {LARGEST} bytes", f"{size}")
    raw = path.read_bytes()
    value = mapping(path, raw)
    version = value.get("format_version")
    if isinstance(version, int) and version > NEWEST:
        refuse(
            path,
            f"format_version {NEWEST} or older",
            str(version),
            "The bundle comes from a newer version: pip install --upgrade graftlm. "
            "If it does not, the file is damaged: fetch it again.",
        )
    if type(version) is not int or version < 1:
        refuse(path, "format_version as a number from 1", repr(version)[:80])
    seal = _SEAL.search(raw)
    if seal is None or hashlib.sha256(raw[: seal.start()]).hexdigest().encode() != seal[1]:
        refuse(path, "the bytes that were sealed when it was written", "changed ones")
    _shape(path, value)
    return value


def _shape(path: Path, value: Mapping[str, Any]) -> None:
    _typed(path, value, {"tasks": dict, "style": str, "base": dict, "files": dict})
    if value["style"] == SHARED:
        _several(path, value["tasks"])
    else:
        _form(path, value)
        if len(value["tasks"]) != 1:
            refuse(path, "one task", f"{len(value['tasks'])}")
    if "adapter" in value:
        adapter = value["adapter"]
        fits = isinstance(adapter, dict) and set(adapter) == {"type", "base"} and value["style"] != SHARED
        if value["format_version"] < NEWEST or not fits:
            refuse(path, f"an adapter's type and base, in format {NEWEST}", repr(adapter)[:80])
        if adapter["type"] not in adapter_files.TYPES:
            refuse(path, f"an adapter of the type {', '.join(adapter_files.TYPES)}", repr(adapter["type"])[:80])
        bases.check(path, adapter["base"])
    for name, task in value["tasks"].items():
        fits = isinstance(task, dict) and isinstance(task.get("use"), str) and isinstance(task.get("fields"), dict)
        if not fits or not isinstance(task.get("space"), dict) or not isinstance(task.get("roles"), list):
            refuse(path, f"use, fields, roles and space for the task {name!r}", repr(task)[:80])
        if not re.fullmatch(r"[\w.-]+", task["use"]) or not all(isinstance(role, str) for role in task["roles"]):
            refuse(path, "plain names as 'use' and 'roles'", repr(task)[:80])
        if not isinstance(task["space"].get("extra", {}), dict):
            refuse(path, "'extra' of the space as a mapping", repr(task["space"]["extra"])[:80])
        labels, size = task["space"].get("labels"), task["space"].get("size")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            refuse(path, "labels as a list of text", repr(labels)[:80])
        if len(set(labels)) != len(labels):
            refuse(path, "each label once", "a label twice")
        if type(size) is not int or size < 0:
            refuse(path, "the number of outputs as 'size'", repr(size)[:80])
    for name, entry in value["files"].items():
        if not plain(name):
            refuse(path, "file names inside the bundle", repr(name)[:120])
        if not isinstance(entry, dict) or type(entry.get("size")) is not int or not _digest(entry.get("sha256")):
            refuse(path, f"size and sha256 of {name}", repr(entry)[:80])


def _typed(path: Path, value: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for key, kind in kinds.items():
        if not isinstance(value.get(key), kind) or isinstance(value[key], bool):
            refuse(path, f"'{key}' as {kind.__name__}", repr(value.get(key))[:80])


def _form(path: Path, value: Mapping[str, Any]) -> None:
    """Check what says how one model is put together."""
    _typed(path, value, {"style": str, "auto_model": str, "max_length": int, "module": dict})
    if value["style"] not in ("native", "pooled"):
        refuse(path, "the style 'native' or 'pooled'", repr(value["style"])[:80])
    if value["style"] == "pooled" and value.get("pooling") not in ("mean", "cls", "max"):
        refuse(path, "the pooling 'mean', 'cls' or 'max'", repr(value.get("pooling"))[:80])
    if not 0 < value["max_length"] <= 10_000_000:
        refuse(path, "max_length from 1 to 10000000", str(value["max_length"])[:80])


def _several(path: Path, tasks: Mapping[str, Any]) -> None:
    """Check how the model of each of several tasks is put together, and that a file can have its name."""
    if not tasks:
        refuse(path, "at least one task", "none")
    for name, task in tasks.items():
        if not isinstance(task, dict):
            refuse(path, f"a description of the task {name!r}", repr(task)[:80])
        if not re.fullmatch(TASK, name):
            refuse(path, "names of tasks from letters, digits, blanks, - and _", repr(name)[:80])
        _form(path, task)
        _typed(path, task, {"metrics": dict, "data": dict, "limits": list})
        if not isinstance(task.get("own"), bool):
            refuse(path, f"'own' of {name!r} as true or false", repr(task.get("own"))[:80])
        own = task["module"].get("base"), task["module"].get("head")
        if not isinstance(own[0], str) or not own[0] or not isinstance(own[1], str | None):
            refuse(path, f"the names of the parts of the model of {name!r}", repr(task["module"])[:80])


def _digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def embeds(value: Mapping[str, Any]) -> bool:
    """Tell whether a manifest is that of a pooled model without a head, whose answers are vectors."""
    return bool(value["style"] == "pooled" and value["module"].get("head") is None)


def plain(name: str) -> bool:
    """Tell whether a name is a relative path with forward slashes that stays inside its folder."""
    if not name or "\\" in name or ":" in name or not name.isprintable():
        return False
    parts = name.split("/")
    return not PurePosixPath(name).is_absolute() and all(part not in ("", ".", "..") for part in parts)


def entry(path: Path) -> dict[str, Any]:
    """Return the manifest's entry for a file."""
    return {"size": path.stat().st_size, "sha256": hashing.of_file(path)}
