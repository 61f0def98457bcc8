"""The place where the right choice stands most often in the training rows, whatever the texts say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers
from graftlm.contracts.choices import choices_of, truth_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class ChoicePosition(Baseline):
    """Answers the commonest place, with the places' shares as probabilities."""

    source: ClassVar[str] = "project"
    about: ClassVar[str] = "always the commonest place"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the places of the right choices; a place that is never right counts as half a row.

        Raises:
            UserError: the rows have no choices.
        """
        import numpy as np

        if not rows.has("choices"):
            raise UserError(f"The baseline 'choice_position' needs choices; task '{setting.task.name()}' has none.")
        form = setting.space.extra["answers"]
        places = [place for chunk in rows.chunks() for one in chunk if (place := truth_of(one, form)) is not None]
        counts = np.bincount(places, minlength=256)

        def logits(asked: Rows) -> Iterator[np.ndarray]:
            for chunk in asked.chunks():
                for one in chunk:
                    yield np.log(np.maximum(counts[: len(choices_of(one.fields["choices"])[0])], 0.5))

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(asked, setting, logits(asked))

        return fitted
