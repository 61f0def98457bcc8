"""Token arrays on disk: packed sequences written once and memory-mapped after."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from graftlm.core import hashing
from graftlm.nn.packed import Packed

_PIECE = 1 << 20
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


def write(folder: Path, packs: Iterable[Packed], columns: Callable[[], Mapping[str, np.ndarray]]) -> None:
    """Write packs end to end, and the columns that are known after the last one, as .npy files.

    Memory holds one pack at a time. A feature that a pack left out is zero there.
    """
    lengths, total = [], 0
    with contextlib.ExitStack() as stack:
        files: dict[str, tuple[IO[bytes], int]] = {}
        for pack in packs:
            if pack.decoder_offsets is not None:
                raise ValueError("expected features of one length a sequence; got a decoder's beside them")
            for name, values in pack.features.items():
                handle, done = files.get(name) or (stack.enter_context((folder / f"{name}.raw").open("wb")), 0)
                handle.write(bytes(4 * (total - done)))
                handle.write(np.ascontiguousarray(values, dtype=np.int32).data)
                files[name] = handle, total + len(values)
            lengths.append(pack.lengths)
            total += int(pack.offsets[-1])
        for handle, done in files.values():
            handle.write(bytes(4 * (total - done)))
    for name in files:
        raw = folder / f"{name}.raw"
        whole = np.lib.format.open_memmap(folder / f"feature-{name}.npy", mode="w+", dtype=np.int32, shape=(total,))
        with raw.open("rb") as handle:
            for start in range(0, total, _PIECE):
                piece = np.frombuffer(handle.read(4 * _PIECE), dtype=np.int32)
                whole[start : start + len(piece)] = piece
        whole.flush()
        del whole
        raw.unlink()
    offsets = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths) if lengths else offsets[1:], out=offsets[1:])
    np.save(folder / "offsets.npy", offsets, allow_pickle=False)
    for name, values in columns().items():
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
