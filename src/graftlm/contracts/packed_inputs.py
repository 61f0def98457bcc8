"""Inputs that lie packed, on disk where they are many, and are made when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from graftlm.contracts.values import Inputs

if TYPE_CHECKING:
    from graftlm.nn.packed import Packed


class PackedInputs(Sequence[Inputs]):
    """The inputs of N sequences: `packed` features, `rows` (N,) the example of each, `lost` (N,) tokens cut off."""

    def __init__(self, packed: Packed, rows: np.ndarray, lost: np.ndarray) -> None:
        self.packed, self.rows, self.lost = packed, rows, lost

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.rows)

    @overload
    def __getitem__(self, number: int) -> Inputs: ...

    @overload
    def __getitem__(self, number: slice) -> list[Inputs]: ...

    def __getitem__(self, number: Any) -> Any:
        """Return the inputs with a number, or a list of them."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        return Inputs(int(self.rows[number]), self.packed.one(number), int(self.lost[number]))  # type: ignore[arg-type]
