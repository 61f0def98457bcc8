"""Packed sequences: flat arrays and offsets instead of a Python list for each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


class Packed:
    """Integer features of N sequences, each feature one flat array; `offsets` (N + 1,) cuts them.

    Features that are zero everywhere (token types of single texts) are left out: models assume zeros.
    """

    def __init__(self, features: Mapping[str, np.ndarray], offsets: np.ndarray) -> None:
        self.features = dict(features)
        self.offsets = offsets

    @classmethod
    def of(cls, sequences: Iterable[Mapping[str, Sequence[int]]]) -> Packed:
        """Pack sequences; the feature `input_ids` gives the lengths."""
        flat: dict[str, list[np.ndarray]] = {}
        lengths = []
        for sequence in sequences:
            lengths.append(len(sequence["input_ids"]))
            for name, values in sequence.items():
                if name != "attention_mask":
                    flat.setdefault(name, []).append(np.asarray(values, dtype=np.int32))
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        arrays = {name: np.concatenate(parts) for name, parts in flat.items() if parts}
        kept = {name: array for name, array in arrays.items() if name == "input_ids" or array.any()}
        return cls(kept, offsets)

    @classmethod
    def joined(cls, parts: Iterable[Packed]) -> Packed:
        """Join packs end to end; a feature that a pack left out is zero there, so memory holds no Python list a row."""
        packs = list(parts)
        if not packs:
            return cls.of([])
        offsets = np.zeros(sum(map(len, packs)) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([pack.lengths for pack in packs]), out=offsets[1:])
        features = {}
        for name in dict.fromkeys(name for pack in packs for name in pack.features):
            whole = np.zeros(int(offsets[-1]), dtype=np.int32)
            begin = 0
            for pack in packs:
                size = int(pack.offsets[-1])
                if name in pack.features:
                    whole[begin : begin + size] = pack.features[name]
                begin += size
            features[name] = whole
        return cls(features, offsets)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Return the length of each sequence in tokens (N,)."""
        return np.diff(self.offsets)

    def vocabulary(self) -> np.ndarray:
        """Return the distinct token ids, sorted."""
        ids, piece = self.features["input_ids"], 1 << 22
        # in pieces: the ids may lie on disk, and sorting a copy of all would need them in memory twice
        found = [np.unique(ids[start : start + piece]) for start in range(0, len(ids), piece)]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int32)

    def batch(self, rows: Sequence[int], pad: int, side: str = "right") -> dict[str, Tensor]:
        """Return padded tensors (B, L) of the given rows, L the longest of them, with `attention_mask`."""
        starts, ends = self.offsets[rows], self.offsets[np.asarray(rows) + 1]
        lengths = ends - starts
        longest = int(lengths.max())
        place = np.arange(longest)[None, :]
        if side == "left":
            place = place - (longest - lengths)[:, None]
        mask = (place >= 0) & (place < lengths[:, None])
        index = np.where(mask, starts[:, None] + place, 0)
        out: dict[str, Tensor] = {}
        for name, values in self.features.items():
            filler = pad if name == "input_ids" else 0
            out[name] = torch.from_numpy(np.where(mask, values[index], filler).astype(np.int64))
        out["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        return out
