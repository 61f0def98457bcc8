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
FORMAT = 2
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

    Memory holds one pack at a time. A feature that a pack left out is zero there. Numbers take two bytes where all
    of a feature fit into them.
    """
    lengths: list[np.ndarray] = []
    total = 0
    known: set[int] = set()
    with contextlib.ExitStack() as stack:
        files: dict[str, _Raw] = {}
        for pack in packs:
            if pack.decoder_offsets is not None:
                raise ValueError("expected features of one length a sequence; got a decoder's beside them")
            for name, values in pack.features.items():
                if name not in files:
                    files[name] = _Raw(stack.enter_context((folder / f"{name}.raw").open("wb")))
                files[name].put(values, total)
            known.update(np.unique(pack.features.get("input_ids", np.zeros(0, np.int32))).tolist())
            lengths.append(pack.lengths)
            total += int(pack.offsets[-1])
        for raw in files.values():
            raw.fill(total)
    for name, raw in files.items():
        _finish(folder, name, total, np.dtype(np.uint16 if 0 <= raw.least and raw.most < 1 << 16 else np.int32))
    offsets = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths) if lengths else offsets[1:], out=offsets[1:])
    np.save(folder / "offsets.npy", offsets, allow_pickle=False)
    np.save(folder / "vocabulary.npy", np.asarray(sorted(known), dtype=np.int32), allow_pickle=False)
    for name, values in columns().items():
        np.save(folder / f"column-{name}.npy", values, allow_pickle=False)


class _Raw:
    """The bytes of one feature while it is written, and its smallest and largest number."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle, self.done, self.least, self.most = handle, 0, 0, 0

    def fill(self, upto: int) -> None:
        """Write zeros up to a place."""
        self.handle.write(bytes(4 * (upto - self.done)))
        self.done = upto

    def put(self, values: np.ndarray, place: int) -> None:
        """Write values at a place at or behind the end."""
        self.fill(place)
        self.handle.write(np.ascontiguousarray(values, dtype=np.int32).data)
        self.done += len(values)
        self.least = min(self.least, int(values.min(initial=0)))
        self.most = max(self.most, int(values.max(initial=0)))


def _finish(folder: Path, name: str, total: int, kind: np.dtype[Any]) -> None:
    """Turn the raw bytes of a feature into an .npy file, a piece at a time."""
    raw = folder / f"{name}.raw"
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (total,)}
    with raw.open("rb") as source, (folder / f"feature-{name}.npy").open("wb") as target:
        np.lib.format.write_array_header_1_0(target, header)
        while piece := source.read(4 * _PIECE):
            target.write(np.frombuffer(piece, dtype=np.int32).astype(kind).data)
    raw.unlink()


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
    packed = Packed(features, np.load(folder / "offsets.npy", allow_pickle=False))
    packed.known = np.load(folder / "vocabulary.npy", allow_pickle=False)
    return packed, columns
