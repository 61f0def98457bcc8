"""Baselines: what a transfer must beat, or be told that it did not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from graftlm.contracts.method import Linear
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Answer, Example, Inputs, Space
from graftlm.core.plugin import Plugin

if TYPE_CHECKING:
    import numpy as np

Fitted = Callable[[Rows], Sequence[Answer]]
"""Answers rows that it has not seen, in their order."""


@dataclass(frozen=True, slots=True)
class BaselineSetting:
    """What a baseline may use beside the training rows.

    `features(rows)` gives frozen features (N, D) of the backbone, computed once; `probe()` the linear
    solution on those of the training rows; `scratch()` trains the same architecture from random
    weights with the same recipe and returns its answers as a function of rows. `tokenizer` cuts texts as the
    model does, for figures that are told by token. What the task chooses on validation rows (thresholds), a
    baseline chooses on `valid`, as the model does.
    `vectors(texts)` are the base model's own, of length one (N, H).
    """

    task: Any
    space: Space
    seed: int
    features: Callable[[Rows], np.ndarray] = field(repr=False)
    probe: Callable[[], Linear | None] = field(repr=False)
    scratch: Callable[[], Fitted] = field(repr=False)
    tokenizer: Any = field(default=None, repr=False)
    valid: Rows | None = field(default=None, repr=False)
    vectors: Callable[[Sequence[str]], np.ndarray] | None = field(default=None, repr=False)


class Baseline(Plugin):
    """Fits something simple on the training rows. `pretrained` says whether it knows anything pretrained."""

    kind: ClassVar[str] = "baseline"
    pretrained: ClassVar[bool] = False
    about: ClassVar[str] = ""

    @abstractmethod
    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Return the fitted baseline as a function from rows to answers."""


def role_texts(example: Example, roles: Sequence[str]) -> list[tuple[int, str]]:
    """Return each text of an example with the number of its role; a role may hold several, or none."""
    found = []
    for place, role in enumerate(roles):
        value = example.fields.get(role)
        found += [
            (place, str(text)) for text in (value if isinstance(value, list | tuple) else [value]) if text is not None
        ]
    return found


def compares(task: Any) -> bool:
    """Tell whether a task's answers come from comparing texts: it embeds them, or ranks documents for a query."""
    return bool(task.embeds or task.group is not None)


def compared(rows: Rows, setting: BaselineSetting, vectors: Callable[[Sequence[str]], Any]) -> list[Answer]:
    """Return the task's answers from vectors of length one of all texts (N, H), an array or a sparse matrix.

    A task that embeds gets the vectors themselves, any other the cosine of each further text with the first one, as
    its head would give it.
    """
    import numpy as np

    task, space = setting.task, setting.space
    roles = [role.name for role in task.roles if role.kind == "text"]
    choices = task.catalogue(space)
    last = [vectors(choices)] if choices else []
    found = []
    for chunk in rows.chunks(512):
        given = [role_texts(example, roles) for example in chunk]
        distinct = list(dict.fromkeys(text for texts in given for _, text in texts))
        place_of = {text: place for place, text in enumerate(distinct)}
        matrix = vectors(distinct)
        for example, texts in zip(chunk, given, strict=True):
            inputs = [Inputs(0, {}, 0, {"place": place, "text": text}) for place, text in texts]
            pieces: list[Any] = [matrix[place_of[text]] for _, text in texts]
            if not task.embeds:
                first = pieces[0]
                pieces = [
                    np.array([one.multiply(first).sum() if hasattr(one, "multiply") else one @ first])
                    for one in pieces[1:]
                ]
                inputs = inputs[1:]
            found.append(task.decode(example, inputs, [*pieces, *last], space))
    return found


def label_numbers(rows: Rows, setting: BaselineSetting) -> np.ndarray:
    """Return the target of each row as the task's `targets` gives it: class numbers (N,), booleans or floats (N, C)."""
    import numpy as np

    found: list[Any] = []
    for examples in rows.chunks():
        found += setting.task.targets(examples, [Inputs(row, {}) for row in range(len(examples))], setting.space)
    return np.asarray(found)


def tuned(setting: BaselineSetting, logits: Callable[[Rows], Iterable[np.ndarray]]) -> Fitted:
    """Return what answers rows by their logits, after the task chose what it chooses on the validation rows."""
    space, valid = setting.space, setting.valid
    if valid is not None and len(valid) and type(setting.task).tune is not Task.tune:
        inputs = [Inputs(row, {}) for row in range(len(valid))]
        space = setting.task.tune(valid.examples(), inputs, list(logits(valid)), space)
    return lambda rows: answers(rows, setting, logits(rows), space)


def answers(
    rows: Rows, setting: BaselineSetting, logits: Iterable[np.ndarray], space: Space | None = None
) -> list[Answer]:
    """Return the task's answers from one row of logits (C,) for each row; `space` where it is not the setting's."""
    given, space = iter(logits), space or setting.space
    return [
        setting.task.decode(example, [], [next(given)], space) for examples in rows.chunks() for example in examples
    ]


def spoken(texts: Iterable[str]) -> list[Answer]:
    """Return texts as answers, in the form that tasks of written answers give."""
    return [Answer(text, None, {"output": text}) for text in texts]
