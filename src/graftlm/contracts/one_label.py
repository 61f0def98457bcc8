"""One label a row out of a fixed set: what tasks that choose have in common, but for the columns they read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from graftlm.contracts.label_findings import about_other, about_training
from graftlm.contracts.probabilities import Probabilities
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Task
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError, listing

if TYPE_CHECKING:
    from torch import Tensor

# The log-probability given to a truth that the model cannot answer; scikit-learn clips at the same place.
_FLOOR = float(np.log(np.finfo(np.float64).eps))


def label_of(target: Any) -> str | None:
    """Return the label as text (`1.0` and `1` are the same label), or None where there is none."""
    if target is None or (isinstance(target, float) and target != target):
        return None
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    text = str(target)
    return text if text.strip() else None


def _counts(grades: Grades) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return right answers, truths and answers of each class; class 0 stands for labels never seen."""
    true, predicted = grades["true"] + 1, grades["predicted"] + 1
    size = int(max(true.max(initial=0), predicted.max(initial=0))) + 1
    hit = np.bincount(true[true == predicted], minlength=size)
    return hit, np.bincount(true, minlength=size), np.bincount(predicted, minlength=size)


def _hits(grades: Grades) -> np.ndarray:
    return np.asarray(grades["true"] == grades["predicted"])


def accuracy(grades: Grades) -> float:
    """Return the share of right answers."""
    return float(np.mean(_hits(grades)))


def macro_f1(grades: Grades) -> float:
    """Return the mean of F1 = 2 hit / (truths + answers) over the classes that occur in either."""
    hit, true, predicted = _counts(grades)
    both = true + predicted
    return float(np.mean(2 * hit[both > 0] / both[both > 0]))


def micro_f1(grades: Grades) -> float:
    """Return F1 of the counts summed over classes; with one label a row it equals the accuracy."""
    hit, true, predicted = (counts.sum() for counts in _counts(grades))
    return float(2 * hit / (true + predicted))


def mcc(grades: Grades) -> float:
    """Return the correlation of truths and answers (Gorodkin 2004, eq. 8); 0 where one of them is constant."""
    hit, true, predicted = (counts.astype(np.float64) for counts in _counts(grades))
    rows = true.sum()
    covariance = hit.sum() * rows - true @ predicted
    spread = (rows**2 - true @ true) * (rows**2 - predicted @ predicted)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def log_loss(grades: Grades) -> float:
    """Return the mean of -ln p(truth); NaN where answers carry no probabilities."""
    return float(-np.mean(grades["log_probability"]))


METRICS = (
    Metric("accuracy", accuracy, about="share of right answers", percent=True, hits=_hits),
    Metric("macro_f1", macro_f1, about="mean F1 over classes, each class weighing the same", percent=True),
    Metric("micro_f1", micro_f1, about="F1 over all rows; equals accuracy with one label a row", percent=True),
    Metric("mcc", mcc, about="correlation of truths and answers, 0 for guessing"),
    Metric("log_loss", log_loss, higher_is_better=False, about="mean -ln p(truth): how honest probabilities are"),
)


def _labels(rows: Rows, role: str | None = None) -> tuple[Counter[str], dict[str | None, list[Any]]]:
    """Count the labels of rows, and return how each is written; a million rows cost as little as their labels."""
    import pyarrow.compute as pc

    values = pc.value_counts(rows.table.column(role or str(rows.target)))
    counts: Counter[str] = Counter()
    spellings: dict[str | None, list[Any]] = {}
    for value, count in zip(values.field(0).to_pylist(), values.field(1).to_pylist(), strict=True):
        label = label_of(value)
        spellings.setdefault(label, []).append(value)
        if label is not None:
            counts[label] += count
    return counts, spellings


def _having(rows: Rows, values: Sequence[Any]) -> list[int]:
    """Return the numbers of the rows whose target is one of some values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = rows.table.column(str(rows.target))
    found = pc.is_in(column, value_set=pa.array(values, column.type))
    return np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist()


class OneLabel(Task):
    """Chooses one label for `text` (and `text_pair`, where there is one); the truth stands in `label`."""

    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    chooses: ClassVar[bool] = True
    of_classes: ClassVar[bool] = True
    says: ClassVar[str] = "one of {labels} labels"
    plainly: ClassVar[str] = "print(space['labels'][logits[0].argmax()])"

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on labels: too few classes, missing, rare, uneven, id-like and near-equal ones."""
        found: list[Finding] = []
        counted: dict[str, Counter[str]] = {}
        for name, rows in splits.items():
            if rows.target is None or not rows.has(rows.target):
                continue
            counted[name], spellings = _labels(rows)
            if spellings.get(None):
                empty = _having(rows, spellings[None])
                places = tuple(rows.where(row) for row in empty[:5])
                message = f"{len(empty)} of {len(rows)} rows of {name} have no label; fill it in or take the rows out."
                found.append(Finding("error", "no_label", message, len(empty), places))
        if "train" in counted:
            found += about_training(counted["train"])
            for name, counts in counted.items():
                if name != "train":
                    found += about_other(name, counts, counted["train"])
        return found

    def unknown(self, rows: Rows, train: Rows) -> Sequence[int]:
        """Return the numbers of the rows whose label no training row has."""
        if rows.target is None or train.target is None:
            return ()
        known, (_, spellings) = _labels(train)[0], _labels(rows)
        strange = [value for label, values in spellings.items() if label not in known and label for value in values]
        return _having(rows, strange) if strange else ()

    def space(self, rows: Rows) -> Space:
        """Return the distinct labels of the training rows, sorted; sorted as numbers where all are numbers.

        Raises:
            DataError: there are fewer than two labels.
        """
        labels = sorted(_labels(rows, "label")[0])
        if len(labels) < 2:
            raise DataError(
                f"Task {self.name()!r} needs at least two different labels in the training rows; found "
                f"{f'only {labels[0]!r}' if labels else 'none'} in {len(rows)} rows. Is 'label' the right column? "
                "Name it with data.columns.label."
            )
        try:
            labels.sort(key=float)
        except ValueError:
            pass  # not all are numbers: the order of the text stays
        return Space(tuple(labels), len(labels))

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise all examples in one call; each gives one Inputs, cut at `limit` tokens."""
        paired = bool(examples) and "text_pair" in examples[0].fields
        others = [example.fields.get("text_pair") for example in examples] if paired else None
        return encode_texts([example.fields.get("text") for example in examples], others, tokenizer, limit)

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[int]:
        """Return the number of the label of each Inputs.

        Raises:
            DataError: a row has no label, or one that the space does not hold.
        """
        index = {label: number for number, label in enumerate(space.labels)}
        found = []
        for one in inputs:
            example = examples[one.row]
            label = label_of(example.target)
            if label not in index:
                what = "no label" if label is None else f"the label {label!r}, which no training row has"
                raise DataError(f"{example.where or example.id}: the row has {what}. Take it out or correct it.")
            found.append(index[label])
        return found

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the summed softmax cross-entropy of logits (B, C) and label numbers (B,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits, targets, reduction="sum")

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the most probable label of one row of logits (C,)."""
        row = pieces[0]
        best = int(row.argmax())
        probability = 1.0 / float(np.exp(row - row[best]).sum())
        label = space.labels[best]
        return Answer(
            label, probability, {"label": label, "probability": probability}, Probabilities(space.labels, row)
        )

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return `true`, `predicted` (label numbers, -1 for labels never seen) and `log_probability` of the truth."""
        index = {label: number for number, label in enumerate(space.labels)}
        true = np.array([index.get(label_of(e.target) or "", -1) for e in examples], dtype=np.int64)
        predicted = np.array([index.get(str(answer.value), -2) for answer in answers], dtype=np.int64)
        if (predicted == -2).any():
            stranger = answers[int(np.argmax(predicted == -2))].value
            raise DataError(
                f"The answer {stranger!r} is none of the labels that the model knows: {listing(space.labels)}."
            )
        return {"true": true, "predicted": predicted, "log_probability": _log_probabilities(answers, true, space)}

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return per-class figures and the confusion matrix as its non-zero cells [true, predicted, count]."""
        size = len(space.labels)
        hit, true, predicted = (np.pad(counts, (0, size + 1 - len(counts)))[1:] for counts in _counts(grades))
        with np.errstate(invalid="ignore", divide="ignore"):
            figures = [
                np.nan_to_num(part / whole)
                for part, whole in ((hit, predicted), (hit, true), (2 * hit, true + predicted))
            ]
        names = ("label", "precision", "recall", "f1", "support", "predicted")
        columns = (space.labels, *(f.tolist() for f in figures), true.tolist(), predicted.tolist())
        seen = grades["true"] >= 0
        cells, counts = np.unique(grades["true"][seen] * size + grades["predicted"][seen], return_counts=True)
        confusion = np.stack([cells // size, cells % size, counts], axis=1).tolist()
        return {
            "labels": list(space.labels),
            "per_class": [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)],
            "confusion": confusion,
            "never_seen": int(np.sum(~seen)),
        }

    def truth(self, example: Example) -> str | None:
        """Return the label as text, as answers give it."""
        return label_of(example.target)


def _log_probabilities(answers: Sequence[Answer], true: np.ndarray, space: Space) -> np.ndarray:
    if not answers:
        return np.zeros(0)
    if all(isinstance(answer.detail, Probabilities) for answer in answers):
        logits = np.stack([answer.detail.logits for answer in answers]).astype(np.float64)  # type: ignore[attr-defined]
        logits -= logits.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(logits, np.maximum(true, 0)[:, None], axis=1)[:, 0]
        found = chosen - np.log(np.exp(logits).sum(axis=1))
    elif all("probabilities" in answer.detail for answer in answers):
        named = [space.labels[number] for number in np.maximum(true, 0)]
        given = [answer.detail["probabilities"].get(name, 0.0) for answer, name in zip(answers, named, strict=True)]
        found = np.log(np.maximum(np.array(given, dtype=np.float64), np.exp(_FLOOR)))
    else:
        return np.full(len(answers), np.nan)
    return np.maximum(np.where(true >= 0, found, _FLOOR), _FLOOR)
