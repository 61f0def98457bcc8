"""The safetensors header, read by our own code: bounded, whole, without gap or overlap."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from graftlm.bundle.strict import mapping, refuse

LARGEST_HEADER = 100 * 1000 * 1000
"""Bytes; the limit of the format's own library."""

LARGEST_RANK = 16

SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


def check_tensors(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the format and shape of each tensor in a safetensors file, after checking its header.

    The format: 8 bytes of header length (little endian), the header in JSON, then the bytes of the
    tensors, which must fill the rest of the file exactly
    (https://github.com/huggingface/safetensors, section Format).

    Raises:
        BundleError: anything does not fit.
    """
    size = path.stat().st_size
    if size < 8:
        refuse(path, "at least 8 bytes of safetensors", f"{size} bytes")
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > LARGEST_HEADER:
            refuse(path, f"a safetensors header of at most {LARGEST_HEADER} bytes", f"a length of {length}")
        if length > size - 8:
            refuse(path, f"a safetensors header within the file of {size} bytes", f"a length of {length}")
        raw = handle.read(length)
    if not raw.startswith(b"{"):
        refuse(path, "a safetensors header that begins with '{'", repr(raw[:1]))
    header = mapping(path, raw)
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        refuse(path, "metadata that maps names to text", repr(meta)[:80])
    found = {name: _entry(path, name, entry) for name, entry in header.items()}
    place = 0
    for name, (start, stop, _, _) in sorted(found.items(), key=lambda item: item[1][:2]):
        if start != place:
            word = "an overlap" if start < place else "a gap"
            refuse(path, f"tensor '{name}' to begin at byte {place}", f"{start}, {word}")
        place = stop
    if place != size - 8 - length:
        refuse(path, f"tensors that fill {size - 8 - length} bytes", f"offsets that end at {place}")
    return {name: (kind, shape) for name, (_, _, kind, shape) in found.items()}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _entry(path: Path, name: str, entry: Any) -> tuple[int, int, str, tuple[int, ...]]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(path, f"dtype, shape and data_offsets for tensor '{name}'", repr(entry)[:80])
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in SIZES:
        refuse(path, f"tensor '{name}' in one of {', '.join(SIZES)}", repr(kind)[:80])
    if not isinstance(shape, list) or len(shape) > LARGEST_RANK or not all(map(_whole, shape)):
        refuse(path, f"a shape of at most {LARGEST_RANK} whole numbers for tensor '{name}'", repr(shape)[:80])
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        refuse(path, f"two offsets for tensor '{name}'", repr(offsets)[:80])
    start, stop = offsets
    need = math.prod(shape) * SIZES[kind]
    if stop - start != need:
        refuse(path, f"{need} bytes for tensor '{name}' of shape {shape} in {kind}", f"{stop - start}")
    return start, stop, kind, tuple(shape)
