"""Says of every question that its context has no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core.errors import UserError


class NoAnswer(Baseline):
    """What any model that answers questions must beat where some have no answer."""

    source: ClassVar[str] = "Rajpurkar et al. 2018, arXiv:1806.03822, section 5 (always abstaining)"
    about: ClassVar[str] = "never an answer"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Learn nothing.

        Raises:
            UserError: the task does not answer with places of a context.
        """
        if not hasattr(setting.task, "span"):
            raise UserError(
                f"The baseline 'no_answer' leaves questions without an answer, and the task '{setting.task.name()}' "
                "has none. Take it out of evaluate.baselines."
            )

        def fitted(asked: Rows) -> Sequence[Answer]:
            return [setting.task.span(one, None, 1.0) for chunk in asked.chunks() for one in chunk]

        return fitted
