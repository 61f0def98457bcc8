"""What most training rows say, whatever the text: the commonest class or set of classes, or the mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers, label_numbers
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer

if TYPE_CHECKING:
    import numpy as np


class Majority(Baseline):
    """Answers the most frequent class, with the classes' shares as probabilities; of quantities the mean."""

    source: ClassVar[str] = "project"
    about: ClassVar[str] = "always the most frequent answer, or the mean"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the classes; a class without training rows counts as half a row."""
        logits = _constant(label_numbers(rows, setting), setting.space.size)

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(asked, setting, repeat(logits))

        return fitted


def _constant(target: np.ndarray, size: int) -> np.ndarray:
    """Return the logits (C,) of every row, by the form of the target."""
    import numpy as np

    if target.ndim == 1:
        return np.log(np.maximum(np.bincount(target, minlength=size), 0.5))
    if target.dtype.kind == "f":
        return np.asarray(target.mean(axis=0))
    sets, counts = np.unique(target, axis=0, return_counts=True)
    return np.where(sets[int(np.argmax(counts))], 10.0, -10.0)
