"""The base model as it is: cosine of its own vectors, nothing trained."""

from __future__ import annotations

from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, compared, compares
from graftlm.contracts.rows import Rows
from graftlm.core.errors import UserError


class ZeroShot(Baseline):
    """Compares texts by the base model's vectors: what training must beat where the base knows the task already."""

    source: ClassVar[str] = "Reimers & Gurevych 2019 (Sentence-BERT), section 4.1: unsupervised STS"
    about: ClassVar[str] = "cosine of the base model's own vectors"
    pretrained: ClassVar[bool] = True

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Take the base model's own vectors.

        Raises:
            UserError: the task compares no texts.
        """
        vectors = setting.vectors
        if vectors is None or not compares(setting.task):
            raise UserError(
                f"The baseline 'zero_shot' compares texts; the task '{setting.task.name()}' does not. "
                "Take it out of evaluate.baselines."
            )
        return lambda asked: compared(asked, setting, vectors)
