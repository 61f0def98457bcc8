"""Manifests written anew over what a folder holds, as somebody who means harm can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graftlm.bundle import manifest


def reseal(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Write the manifest anew over what the folder holds, as somebody who means harm can."""
    path = folder / "graft.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value.pop("seal")
    names = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".md" and p != path]
    value["files"] = {p.relative_to(folder).as_posix(): manifest.entry(p) for p in names}
    if change:
        change(value)
    path.write_bytes(manifest.sealed(value))
