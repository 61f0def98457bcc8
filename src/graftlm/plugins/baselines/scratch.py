"""The same architecture trained by the same recipe from random weights."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows


class Scratch(Baseline):
    """Isolates what pretraining brings: everything is equal but the start weights. Costs a training run."""

    source: ClassVar[str] = "He et al. 2019 (Rethinking ImageNet pre-training), section 3"
    about: ClassVar[str] = "same model from random weights"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Train from random weights on the run's own training rows."""
        return setting.scratch()
