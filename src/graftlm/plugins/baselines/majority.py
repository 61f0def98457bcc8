"""The share of each class in the training rows, whatever the text says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers, label_numbers
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer


class Majority(Baseline):
    """Answers the most frequent class, with the classes' shares as probabilities."""

    source: ClassVar[str] = "project"
    about: ClassVar[str] = "always the most frequent class"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the classes; a class without training rows counts as half a row."""
        import numpy as np

        counts = np.bincount(label_numbers(rows, setting), minlength=setting.space.size)
        logits = np.log(np.maximum(counts, 0.5))

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(asked, setting, repeat(logits))

        return fitted
