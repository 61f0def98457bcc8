"""Multilabel: any number of labels out of a fixed set for a text, none among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from graftlm.contracts.label_findings import about_other, about_training
from graftlm.contracts.label_set_figures import METRICS, f1_of, levels
from graftlm.contracts.label_sets import delimiters, labels_of, vector
from graftlm.contracts.probabilities import Probabilities, sigmoid
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError, listing

if TYPE_CHECKING:
    from torch import Tensor

TEXT = (
    "text", "sentence", "comment_text", "comment", "review", "tweet", "message", "content", "body", "document",
    "abstract", "post", "description", "question", "title", "input", "文本", "内容", "评论", "句子", "正文", "标题",
)  # fmt: skip
PAIR = ("text_pair", "sentence2", "text2", "text_b", "句子2", "文本2")
LABELS = (
    "labels", "label", "tags", "categories", "topics", "emotions", "classes", "genres", "keywords", "targets",
    "category", "标签", "类别", "情感", "主题", "话题",
)  # fmt: skip


class Multilabel(Task):
    """Answers each label by itself; from which probability on is chosen on the validation rows, label by label."""

    source: ClassVar[str] = "project; thresholds after Yang 2001 (SCut), figures as scikit-learn's"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", TEXT, "the text to label"),
        Role("text_pair", "text", PAIR, "a second text, where labels belong to a pair", required=False),
        Role("label", "target", LABELS, "a list or text of labels, or columns of 0 and 1", True, "flags", True, True),
    )
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    whole: ClassVar[bool] = True
    says: ClassVar[str] = "any of {labels} labels, none among them"
    plainly: ClassVar[str] = (
        "sure = 1 / (1 + numpy.exp(-logits[0]))\n"
        "least = space['extra'].get('thresholds', [0.5] * len(sure))\n"
        "print([label for label, p, t in zip(space['labels'], sure, least) if p >= t])"
    )
    configuration: ClassVar[Mapping[str, Any]] = {"problem_type": "multi_label_classification"}
    metrics: ClassVar[tuple[Metric, ...]] = METRICS
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "probe")
    delimiter: str | None = Field(None, min_length=1, max_length=8)
    """What stands between labels in a column of texts; None: `|`, `;`, `、` or `,`, whichever it is; none: nothing."""
    names: tuple[str, ...] = ()
    """Names of the labels in their order, for data whose labels are lists of 0 and 1."""
    threshold: Literal["tuned"] | Annotated[float, Field(gt=0, lt=1)] = "tuned"
    """Probability from which on a label is answered; tuned: each label's own, by F1 on the validation rows."""
    separator: str = Field("/", min_length=1, max_length=4)
    """What stands between the levels of a label such as `sport/ball/tennis`; each level is scored by itself."""

    def fault(self, example: Example) -> str | None:
        """Return why the labels of a row cannot be read."""
        try:
            self.truth(example)
        except ValueError as fault:
            return str(fault)
        return None

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on labels: how they are written, rows without any, rare and missing ones."""
        found: list[Finding] = []
        counted: dict[str, Counter[str]] = {}
        written: Counter[str] = Counter()
        vectors: Counter[int] = Counter()
        for name, rows in splits.items():
            if rows.target is None or not rows.has(rows.target):
                continue
            bare = several = 0
            counted[name] = Counter()
            for value in rows.column(rows.target):
                written.update(delimiters(value) if self.delimiter is None else ())
                vectors[0 if self.names else vector(value)] += 1
                labels = labels_of(value, self.delimiter, self.names)
                bare, several = bare + (not labels), several + (len(labels) > 1)
                counted[name].update(labels)
            if bare:
                message = f"{bare} of {len(rows)} rows of {name} have no label: read as none of them being right."
                found.append(Finding("note", "no_label", message, bare))
            if name == "train" and not several:
                message = (
                    "No training row has more than one label; the task 'classification' is made for that. If something "
                    "stands between labels, name it with task.delimiter."
                )
                found.append(Finding("warning", "single_labels", message))
        if (size := vectors.most_common(1)[0][0] if vectors else 0) > 1:
            message = (
                f"The labels are lists of {size} values 0 and 1, one for each label, not lists of labels. Name the "
                "labels in their order with task.names."
            )
            found.append(Finding("error", "vectors", message, vectors[size]))
        if len(written) > 1:
            shown = ", ".join(f"'{mark}' in {count} rows" for mark, count in written.most_common())
            message = f"What stands between labels is not clear: {shown}. Name it with task.delimiter, or 'none'."
            found.append(Finding("error", "delimiters", message, len(written)))
        elif written:
            mark = next(iter(written))
            message = f"'{mark}' stands between labels (task.delimiter)."
            found.append(Finding("note", "delimiter", message, written[mark]))
        if "train" in counted:
            found += about_training(counted["train"])
            for name, counts in counted.items():
                if name != "train":
                    found += about_other(name, counts, counted["train"])
        return found

    def space(self, rows: Rows) -> Space:
        """Return the distinct labels of the training rows, sorted; sorted as numbers where all are numbers.

        `extra["least"]` is 1 where each training row has a label: then an answer has one at least.

        Raises:
            DataError: there are fewer than two labels, or a row's cannot be read.
        """
        known = [self._labels(example) for chunk in rows.chunks() for example in chunk]
        labels = sorted({label for own in known for label in own})
        if len(labels) < 2:
            raise DataError(
                f"Task 'multilabel' needs at least two different labels in the training rows; found {len(labels)} in "
                f"{len(rows)} rows. Is 'label' the right column? Name it with data.columns.label."
            )
        try:
            labels.sort(key=float)
        except ValueError:
            pass  # not all are numbers: the order of the text stays
        return Space(tuple(labels), len(labels), {"least": int(all(known))})

    def _labels(self, example: Example) -> list[str]:
        try:
            return self.truth(example)
        except ValueError as fault:
            raise DataError(f"{example.where or example.id}: {fault}.") from None

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise all examples in one call; each gives one Inputs, cut at `limit` tokens."""
        paired = bool(examples) and "text_pair" in examples[0].fields
        others = [example.fields.get("text_pair") for example in examples] if paired else None
        return encode_texts([example.fields.get("text") for example in examples], others, tokenizer, limit)

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[np.ndarray]:
        """Return for each Inputs which labels its row has, booleans (L,); labels that no training row has are left out.

        Raises:
            DataError: a row's labels cannot be read.
        """
        index = {label: number for number, label in enumerate(space.labels)}
        found = []
        for one in inputs:
            row = np.zeros(len(index), bool)
            row[[index[label] for label in self._labels(examples[one.row]) if label in index]] = True
            found.append(row)
        return found

    def stack(self, targets: Sequence[Any]) -> Tensor:
        """Return the targets of a batch as a tensor (B, L)."""
        import torch

        return torch.from_numpy(np.stack(list(targets)))

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the binary cross-entropy of logits and labels (B, L), summed over rows and meaned over labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        total = binary_cross_entropy_with_logits(outputs.logits, targets.to(outputs.logits.dtype), reduction="sum")
        return total / targets.shape[1]

    def tune(
        self, examples: Sequence[Example], inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space
    ) -> Space:
        """Return the space with each label's threshold, as F1 on these rows wants it."""
        from graftlm.nn.thresholds import f1_thresholds

        if self.threshold != "tuned" or not pieces:
            return space
        truth = np.stack(self.targets(examples, inputs, space))
        found = sigmoid(f1_thresholds(np.stack(list(pieces)).astype(np.float64), truth))
        return replace(space, extra={**space.extra, "thresholds": [float(f"{value:.6g}") for value in found]})

    def _thresholds(self, space: Space) -> np.ndarray:
        default = 0.5 if self.threshold == "tuned" else self.threshold
        return np.asarray(space.extra.get("thresholds", default))

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the labels whose probability reaches their threshold, the most probable first."""
        detail = Probabilities(space.labels, pieces[0], several=True)
        probabilities = detail.array()
        above = probabilities - self._thresholds(space)
        chosen = above >= 0
        if space.extra.get("least") and not chosen.any():
            chosen[above.argmax()] = True
        order = np.argsort(-probabilities, kind="stable")
        said = {space.labels[number]: float(probabilities[number]) for number in order if chosen[number]}
        sure = float(np.where(chosen, probabilities, 1 - probabilities).prod())
        return Answer(list(said), sure, {"labels": list(said), "probabilities": said}, detail)

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return `true` and `predicted` (N, L), `unseen` (a label that no training row has), and `rank` of scores.

        Raises:
            DataError: an answer is no label, or a row's labels cannot be read.
        """
        from graftlm.nn.thresholds import ranks

        index = {label: number for number, label in enumerate(space.labels)}
        true, predicted = (np.zeros((len(answers), len(index)), bool) for _ in range(2))
        unseen = np.zeros(len(answers), bool)
        for row, (answer, example) in enumerate(zip(answers, examples, strict=True)):
            own = self._labels(example)
            unseen[row] = any(label not in index for label in own)
            true[row, [index[label] for label in own if label in index]] = True
            if strange := [label for label in answer.value if label not in index]:
                raise DataError(f"The answer {strange[0]!r} is no label that the model knows: {listing(space.labels)}.")
            predicted[row, [index[label] for label in answer.value]] = True
        grades = {"true": true, "predicted": predicted, "unseen": unseen}
        details = [answer.detail for answer in answers]
        logits = [detail.logits for detail in details if isinstance(detail, Probabilities)]
        return grades | {"rank": ranks(np.stack(logits))} if logits and len(logits) == len(answers) else grades

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return figures of each label, and of each level where labels have several."""
        from graftlm.nn.thresholds import average_precision

        true, predicted = grades["true"], grades["predicted"]
        right, support, said = ((true & predicted).sum(axis=0), true.sum(axis=0), predicted.sum(axis=0))
        columns: dict[str, Any] = {
            "label": space.labels,
            "precision": (right / np.maximum(said, 1)).tolist(),
            "recall": (right / np.maximum(support, 1)).tolist(),
            "f1": f1_of(right, support + said).tolist(),
            "support": support.tolist(),
            "predicted": said.tolist(),
            "threshold": np.broadcast_to(self._thresholds(space), right.shape).tolist(),
        }
        if "rank" in grades:
            columns["average_precision"] = np.nan_to_num(average_precision(grades["rank"], true)).tolist()
        table = levels(grades, space.labels, self.separator)
        return {
            "per_class": [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)],
            "never_seen": int(grades["unseen"].sum()),
            **({"tables": [table]} if table else {}),
        }

    def truth(self, example: Example) -> list[str]:
        """Return the labels as answers give them."""
        return labels_of(example.target, self.delimiter, self.names)
