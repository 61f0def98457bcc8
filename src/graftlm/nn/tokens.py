"""Token arrays on disk: packed sequences written once and memory-mapped after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from graftlm.core import hashing
from graftlm.nn.packed import Packed

FORMAT = 1
"""Part of every key: a change of what is stored makes old entries unreachable."""


def tokenizer_mark(tokenizer: Any) -> str | None:
    """Return a hash of everything that a fast tokenizer does to a text, None for one whose inside is not known."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        return None
    tree = json.loads(inner.to_str())
    # set by the calls, which pass them each time: no part of the tokenizer
    tree.pop("padding", None)
    tree.pop("truncation", None)
    return hashing.of_value([type(tokenizer).__name__, tree])


def write(folder: Path, packed: Packed, **columns: np.ndarray) -> None:
    """Write a pack, and columns beside it, as .npy files."""
    np.save(folder / "offsets.npy", packed.offsets, allow_pickle=False)
    for name, values in packed.features.items():
        np.save(folder / f"feature-{name}.npy", values, allow_pickle=False)
    for name, values in columns.items():
        np.save(folder / f"column-{name}.npy", values, allow_pickle=False)


def read(folder: Path) -> tuple[Packed, dict[str, np.ndarray]]:
    """Return a pack whose features stay on disk until they are read, and the columns beside it."""
    features = {
        path.stem.removeprefix("feature-"): np.load(path, mmap_mode="r", allow_pickle=False)
        for path in sorted(folder.glob("feature-*.npy"))
    }
    columns = {
        path.stem.removeprefix("column-"): np.load(path, allow_pickle=False)
        for path in sorted(folder.glob("column-*.npy"))
    }
    return Packed(features, np.load(folder / "offsets.npy", allow_pickle=False)), columns
