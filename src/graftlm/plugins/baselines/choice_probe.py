"""A linear solution on the base model's own vectors of question and choice, nothing of the model trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers
from graftlm.contracts.choices import choices_of, truth_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Answer, Example
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


class ChoiceProbe(Baseline):
    """Scores each choice by w . [q * c, |q - c|], fitted to tell right choices from others: what training must beat.

    q and c are the base model's own vectors of length one, of question (and context) and of choice.
    """

    source: ClassVar[str] = (
        "Conneau et al. 2017 (InferSent), section 3.1: product and absolute difference of two vectors"
    )
    about: ClassVar[str] = "linear solution on frozen vectors of question and choice"
    pretrained: ClassVar[bool] = True

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Fit the weights on all choices of the training rows.

        Raises:
            UserError: the rows have no choices.
        """
        import numpy as np

        from graftlm.nn import linear

        vectors = setting.vectors
        if vectors is None or not rows.has("choices"):
            raise UserError(
                f"The baseline 'choice_probe' needs choices; the task '{setting.task.name()}' has none. "
                "Take it out of evaluate.baselines."
            )
        form = setting.space.extra["answers"]
        seen, right = [], []
        for chunk in rows.chunks(512):
            for one, pairs in zip(chunk, _pairs(chunk, vectors), strict=True):
                seen.append(pairs)
                right.append(np.arange(len(pairs)) == truth_of(one, form))
        found = linear.solve(np.concatenate(seen), np.concatenate(right)[:, None], 1, seed=setting.seed)

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(
                asked,
                setting,
                ((pairs @ found.weight.T)[:, 0] for chunk in asked.chunks(512) for pairs in _pairs(chunk, vectors)),
            )

        return fitted


def _pairs(examples: Sequence[Example], vectors: Callable[[Sequence[str]], Any]) -> list[np.ndarray]:
    """Return for each example the features (S, 2 H) of its choices beside its question."""
    import numpy as np

    parts = [[as_text(example.fields.get(role)).strip() for role in ("context", "question")] for example in examples]
    asked = [" ".join(filter(None, both)) for both in parts]
    choices = [choices_of(example.fields["choices"])[0] for example in examples]
    distinct = list(dict.fromkeys([*asked, *(text for texts in choices for text in texts)]))
    place = {text: number for number, text in enumerate(distinct)}
    matrix = vectors(distinct)
    found = []
    for text, texts in zip(asked, choices, strict=True):
        question, given = matrix[place[text]], matrix[[place[one] for one in texts]]
        found.append(np.concatenate([question * given, np.abs(question - given)], axis=1))
    return found
