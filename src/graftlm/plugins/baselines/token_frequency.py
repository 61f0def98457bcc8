"""The most frequent tag of each word in the training rows; O for words that they do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Inputs
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_RARE = 0.01  # stands for a count of none, so that the logarithm is finite


class TokenFrequency(Baseline):
    """Looks each word up; what the scheme forbids is mended as it is for a model."""

    source: ClassVar[str] = "Tjong Kim Sang & De Meulder 2003, section 3 (the baseline of the shared task, by words)"
    about: ClassVar[str] = "most frequent tag of each word, O for unknown words"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the tags of each word.

        Raises:
            UserError: the task does not tag words.
        """
        import numpy as np

        task, size = setting.task, setting.space.size
        if not hasattr(task, "words"):
            raise UserError(
                f"The baseline 'token_frequency' counts tags of words, and the task '{task.name()}' has none. Take it "
                "out of evaluate.baselines."
            )
        counts: dict[str, np.ndarray] = {}
        for examples in rows.chunks():
            numbers = task.targets(examples, [Inputs(row, {}) for row in range(len(examples))], setting.space)
            for example, own in zip(examples, numbers, strict=True):
                for word, number in zip(task.words(example), own, strict=True):
                    if word not in counts:
                        counts[word] = np.full(size, _RARE)
                    counts[word][number] += 1
        table = {word: np.log(found / found.sum()) for word, found in counts.items()}
        unknown = np.log(np.where(np.arange(size) == 0, 1.0, _RARE**2))

        def logits(asked: Rows) -> Iterator[np.ndarray]:
            for examples in asked.chunks():
                for example in examples:
                    found = [table.get(word, unknown) for word in task.words(example)]
                    yield np.stack(found) if found else np.zeros((0, size))

        def fitted(asked: Rows) -> Sequence[Answer]:
            return answers(asked, setting, logits(asked))

        return fitted
