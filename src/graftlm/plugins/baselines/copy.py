"""The text that was asked, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, spoken
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer


class Copy(Baseline):
    """Answers with the source itself: names, numbers and loan words make that more than nothing."""

    source: ClassVar[str] = "project"
    about: ClassVar[str] = "the source itself"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Learn nothing."""

        def fitted(asked: Rows) -> Sequence[Answer]:
            return spoken(setting.task.reads(example) for chunk in asked.chunks() for example in chunk)

        return fitted
