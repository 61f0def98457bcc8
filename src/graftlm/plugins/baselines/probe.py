"""Frozen probe: a linear classifier on the pretrained model's features, nothing of the model trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, tuned
from graftlm.contracts.rows import Rows
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class Probe(Baseline):
    """Answers with the linear solution on frozen features: what fine-tuning must beat to be worth its cost."""

    source: ClassVar[str] = "Alain & Bengio 2016, section 3 (linear classifier probes), on the last layer"
    about: ClassVar[str] = "linear solution on frozen features"
    pretrained: ClassVar[bool] = True

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Take the solution on the training rows' features, which is computed once for all who ask.

        Raises:
            UserError: the task has no linear head on one feature vector a row.
        """
        linear = setting.probe()
        if linear is None:
            raise UserError(
                f"The baseline 'probe' cannot serve the task '{setting.task.name()}', which has no linear head on one "
                "vector for each row. Take it out of evaluate.baselines."
            )

        def logits(asked: Rows) -> np.ndarray:
            return setting.features(asked) @ linear.weight.T + linear.bias

        return tuned(setting, logits)
