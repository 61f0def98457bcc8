"""A rule on the words of the choices: the one that shares most with the question, the longest or the shortest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from graftlm.contracts.augmentation import units
from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted, answers
from graftlm.contracts.choices import choices_of, truth_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Example
from graftlm.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

RULES = ("rare words shared", "longest", "shortest")


class ChoiceWords(Baseline):
    """Takes the rule that is right most often in the training rows; words weigh by their rarity there."""

    source: ClassVar[str] = "Richardson, Burges and Renshaw 2013 (MCTest), section 5: word-overlap baselines"
    about: ClassVar[str] = "shared words, longest or shortest choice"

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Choose the rule.

        Raises:
            UserError: the rows have no choices.
        """
        if not rows.has("choices"):
            raise UserError(f"The baseline 'choice_words' needs choices; task '{setting.task.name()}' has none.")
        form = setting.space.extra["answers"]
        seen: dict[str, int] = {}
        for chunk in rows.chunks():
            for one in chunk:
                for word in _words(_asked(one)).union(*map(_words, choices_of(one.fields["choices"])[0])):
                    seen[word] = seen.get(word, 0) + 1
        weight = {word: math.log((1 + len(rows)) / (1 + count)) + 1e-6 for word, count in seen.items()}
        right = dict.fromkeys(RULES, 0)
        for chunk in rows.chunks():
            for one in chunk:
                for rule in RULES:
                    right[rule] += int(_scores(one, rule, weight).argmax()) == truth_of(one, form)
        best = max(RULES, key=right.__getitem__)

        def fitted(asked: Rows) -> Sequence[Answer]:
            given = (_scores(one, best, weight) for chunk in asked.chunks() for one in chunk)
            return answers(asked, setting, given)

        return fitted


def _asked(example: Example) -> str:
    return " ".join(str(example.fields.get(role) or "") for role in ("context", "question"))


def _words(text: str) -> set[str]:
    return {word for unit in units(text.casefold()) if (word := unit.strip(" \t\n.,;:!?\"'()。，？！"))}


def _scores(example: Example, rule: str, weight: dict[str, float]) -> np.ndarray:
    """Return one number a choice (C,); the highest is the rule's answer."""
    import numpy as np

    texts = choices_of(example.fields["choices"])[0]
    if rule == "rare words shared":
        asked = _words(_asked(example))
        shared = [sum(weight.get(word, 1.0) for word in _words(text) & asked) for text in texts]
        return np.array(shared)
    lengths = np.array([float(len(text)) for text in texts])
    return (lengths if rule == "longest" else -lengths) / max(1.0, float(lengths.max()))
