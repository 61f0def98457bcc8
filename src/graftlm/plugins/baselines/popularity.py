"""The items that most users had, whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core.errors import UserError


class Popularity(Baseline):
    """Recommends by the number of training interactions of an item, items of the user left out."""

    source: ClassVar[str] = "Cremonesi, Koren & Turrin 2010 (RecSys), section 3.1 (TopPop)"
    about: ClassVar[str] = "what most users had"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Take the counts of the catalogue.

        Raises:
            UserError: the task has no catalogue of items.
        """
        counts = setting.space.extra.get("counts")
        if counts is None:
            raise UserError(
                f"The baseline 'popularity' recommends items; the task '{setting.task.name()}' has none. Take it out "
                "of evaluate.baselines."
            )
        scores = np.array(counts, dtype=np.float64)

        def fitted(asked: Rows) -> Sequence[Answer]:
            return [setting.task.decode(example, [], [scores], setting.space) for example in asked.examples()]

        return fitted
