"""Packed sequences: flat arrays and offsets instead of a Python list for each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DECODER = "decoder_"
_ALWAYS = ("input_ids", "decoder_input_ids")


def _edges(lengths: Sequence[Any]) -> np.ndarray:
    """Return the offsets (N + 1,) of sequences whose lengths are given in parts."""
    offsets = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    if len(offsets) > 1:
        np.cumsum(np.concatenate([np.asarray(part, dtype=np.int64) for part in lengths]), out=offsets[1:])
    return offsets


class Packed:
    """Integer features of N sequences, each feature one flat array; `offsets` (N + 1,) cuts them.

    Features that are zero everywhere (token types of single texts) are left out: models assume zeros. Those of a
    decoder (`decoder_input_ids` and the like) have lengths of their own, cut by `decoder_offsets` (N + 1,).
    """

    def __init__(
        self, features: Mapping[str, np.ndarray], offsets: np.ndarray, decoder_offsets: np.ndarray | None = None
    ) -> None:
        self.features = dict(features)
        self.offsets = offsets
        self.decoder_offsets = decoder_offsets
        self.known: np.ndarray | None = None
        """The distinct token ids, where whoever wrote the features down counted them."""

    @classmethod
    def of(cls, sequences: Iterable[Mapping[str, Sequence[int]]]) -> Packed:
        """Pack sequences; the feature `input_ids` gives the lengths."""
        flat: dict[str, list[np.ndarray]] = {}
        lengths, answers = [], []
        for sequence in sequences:
            lengths.append(len(sequence["input_ids"]))
            if "decoder_input_ids" in sequence:
                answers.append(len(sequence["decoder_input_ids"]))
            for name, values in sequence.items():
                if name != "attention_mask":
                    flat.setdefault(name, []).append(np.asarray(values, dtype=np.int32))
        arrays = {name: np.concatenate(parts) for name, parts in flat.items() if parts}
        kept = {name: array for name, array in arrays.items() if name in _ALWAYS or array.any()}
        return cls(kept, _edges([lengths]), _edges([answers]) if answers else None)

    @classmethod
    def joined(cls, parts: Iterable[Packed]) -> Packed:
        """Join packs end to end; a feature that a pack left out is zero there, so memory holds no Python list a row."""
        packs = list(parts)
        if not packs:
            return cls.of([])
        offsets = _edges([pack.lengths for pack in packs])
        answers = [np.diff(pack.decoder_offsets) for pack in packs if pack.decoder_offsets is not None]
        decoder_offsets = _edges(answers) if answers else None
        joined = cls({}, offsets, decoder_offsets)
        for name in dict.fromkeys(name for pack in packs for name in pack.features):
            whole = np.zeros(int(joined._cuts(name)[-1]), dtype=np.int32)
            begin = 0
            for pack in packs:
                size = int(pack._cuts(name)[-1])
                if name in pack.features:
                    whole[begin : begin + size] = pack.features[name]
                begin += size
            joined.features[name] = whole
        return joined

    def _cuts(self, name: str) -> np.ndarray:
        """Return the offsets of a feature."""
        return self.decoder_offsets if name.startswith(_DECODER) and self.decoder_offsets is not None else self.offsets

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Return the length of each sequence in tokens (N,)."""
        return np.diff(self.offsets)

    def vocabulary(self) -> np.ndarray:
        """Return the distinct token ids, sorted; a decoder's among them."""
        if self.known is not None:
            return self.known
        piece = 1 << 22
        # in pieces: the ids may lie on disk, and sorting a copy of all would need them in memory twice
        found = [
            np.unique(ids[start : start + piece])
            for ids in (self.features[name] for name in _ALWAYS if name in self.features)
            for start in range(0, len(ids), piece)
        ]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int32)

    def one(self, number: int) -> dict[str, np.ndarray]:
        """Return the features of one sequence."""
        return {
            name: values[self._cuts(name)[number] : self._cuts(name)[number + 1]]
            for name, values in self.features.items()
        }

    def batch(self, rows: Sequence[int], pad: int, side: str = "right") -> dict[str, Tensor]:
        """Return padded tensors (B, L) of the given rows, L the longest of them, with `attention_mask`.

        A decoder's are (B, M), padded at the end, with `decoder_attention_mask`.
        """
        own = [name for name in self.features if not name.startswith(_DECODER)]
        out = self._padded(own, self.offsets, rows, pad, side)
        if self.decoder_offsets is not None:
            others = [name for name in self.features if name.startswith(_DECODER)]
            padded = self._padded(others, self.decoder_offsets, rows, pad, "right")
            out["decoder_attention_mask"] = padded.pop("attention_mask")
            out |= padded
        return out

    def _padded(
        self, names: Sequence[str], offsets: np.ndarray, rows: Sequence[int], pad: int, side: str
    ) -> dict[str, Tensor]:
        starts, ends = offsets[rows], offsets[np.asarray(rows) + 1]
        lengths = ends - starts
        longest = int(lengths.max())
        place = np.arange(longest)[None, :]
        if side == "left":
            place = place - (longest - lengths)[:, None]
        mask = (place >= 0) & (place < lengths[:, None])
        index = np.where(mask, starts[:, None] + place, 0)
        out: dict[str, Tensor] = {}
        for name in names:
            filler = pad if name in _ALWAYS else 0
            out[name] = torch.from_numpy(np.where(mask, self.features[name][index], filler).astype(np.int64))
        out["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
        return out
