"""Each token as often as in training, whatever stands before it: the likelihood to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Example
from graftlm.core.errors import UserError


class Unigram(Baseline):
    """Counts the tokens that are learned; one that never came counts as seen once (add-one smoothing)."""

    source: ClassVar[str] = "Jurafsky & Martin, Speech and Language Processing, 3rd ed., section 3.6 (add-one)"
    about: ClassVar[str] = "the frequency of each token, without context"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Count the tokens.

        Raises:
            UserError: the task does not learn tokens.
        """
        import numpy as np

        if setting.tokenizer is None or setting.task.writes_with is None:
            raise UserError(
                f"The baseline 'unigram' cannot serve the task '{setting.task.name()}', which writes nothing."
            )
        counts = np.ones(len(setting.tokenizer))
        for chunk in rows.chunks():
            counts += np.bincount(_learned(chunk, setting), minlength=len(counts))
        costs = np.log(counts.sum()) - np.log(counts)

        def fitted(asked: Rows) -> Sequence[Answer]:
            found = []
            for chunk in asked.chunks():
                for example in chunk:
                    tokens = _learned([example], setting)
                    found.append(Answer(None, None, {}, {"nll": float(costs[tokens].sum()), "tokens": len(tokens)}))
            return found

        return fitted


def _learned(examples: Sequence[Example], setting: BaselineSetting) -> Any:
    """Return the ids of the tokens that these examples teach."""
    import numpy as np

    limit = min(setting.tokenizer.model_max_length, 1 << 20)
    inputs = setting.task.encode_training(examples, setting.tokenizer, limit)
    labels = [label for target in setting.task.targets(examples, inputs, setting.space) for label in target]
    found = np.asarray(labels, dtype=np.int64)
    return found[found >= 0]
