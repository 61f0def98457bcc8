"""Pair: one label for two texts read together: inference, paraphrase, answer selection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from graftlm.contracts.one_label import METRICS, OneLabel, label_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role
from graftlm.contracts.values import Answer, Example, Finding, Grades, Space
from graftlm.core.errors import DataError, listing, near

FIRST = (
    "sentence1", "premise", "question1", "text1", "text_a", "texta", "query", "question", "s1", "sent1", "sentence_a",
    "text_left", "left", "a", "context", "source", "sentence", "前提", "句子1", "文本1", "问题1", "问题", "查询",
)  # fmt: skip
SECOND = (
    "sentence2", "hypothesis", "question2", "text2", "text_b", "textb", "answer", "response", "passage", "document",
    "candidate", "reply", "s2", "sent2", "sentence_b", "text_right", "right", "b", "sentence", "target_text",
    "假设", "句子2", "文本2", "问题2", "回答", "答案", "段落",
)  # fmt: skip
LABEL = (
    "label", "labels", "gold_label", "is_duplicate", "relation", "class", "target", "entailment_label", "judgment",
    "relevance", "is_relevant", "label_text", "y", "标签", "类别", "关系", "是否相关",
)  # fmt: skip
# Labels that say "it holds": of two labels the one whose F1 is meant.
POSITIVE = (
    "1", "true", "yes", "positive", "equivalent", "paraphrase", "duplicate", "entailment", "similar", "same",
    "relevant", "correct", "match", "answer", "是", "相关", "相似", "蕴含",
)  # fmt: skip


# What SNLI, MultiNLI and OCNLI write where the judges of a pair did not agree; the Hub's copies write -1.
NO_AGREEMENT, NO_AGREEMENT_NUMBER = "-", "-1"


def _positive_f1(grades: Grades) -> float:
    """Return F1 of the positive class of two, as scikit-learn's `average="binary"`; NaN where there are more."""
    if "is_positive" not in grades:
        return float("nan")
    true, predicted = grades["is_positive"], grades["says_positive"]
    both = int(true.sum() + predicted.sum())
    return float(2 * np.sum(true & predicted) / both) if both else 0.0


class Pair(OneLabel):
    """Chooses one label for two texts that the model reads side by side (a cross-encoder)."""

    source: ClassVar[str] = "Devlin et al. 2019, section 4.1 (sentence pairs); F1 as GLUE's script for MRPC and QQP"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", FIRST, "the first text: premise, question, sentence"),
        Role("text_pair", "text", SECOND, "the second text: hypothesis, answer, the other sentence"),
        Role("label", "target", LABEL, "the label of the pair: any text or number"),
    )
    metrics: ClassVar[tuple[Metric, ...]] = (
        METRICS[0],
        Metric("f1", _positive_f1, about="F1 of the positive class, where there are two classes", percent=True),
        *METRICS[1:],
    )
    baselines: ClassVar[tuple[str, ...]] = ("majority", "tfidf", "probe")
    positive: str | None = None
    """Of two labels, the one whose F1 is told; None: the one that says yes (1, true, equivalent, entailment, ...)."""

    def fault(self, example: Example) -> str | None:
        """Return that the label says that there is none."""
        if label_of(example.target) != NO_AGREEMENT:
            return None
        return "the label is '-', which corpora of inference write where judges did not agree"

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on labels, and which of two is the positive one."""
        found = super().check(splits)
        for name, rows in splits.items():
            labels = [label_of(value) for value in rows.column("label")] if rows.has("label") else []
            odd = [row for row, label in enumerate(labels) if label == NO_AGREEMENT_NUMBER]
            if odd and {"0", "1"} <= set(labels):
                message = (
                    f"{name}: {len(odd)} of {len(rows)} rows have the label -1, which copies of SNLI write where "
                    "judges did not agree. It is learnt as a class: take these rows out if it is none."
                )
                found.append(Finding("warning", "no_agreement", message, len(odd), tuple(map(rows.where, odd[:5]))))
        if "train" in splits and not any(finding.level == "error" for finding in found):
            space = self.space(splits["train"])
            if len(space.labels) == 2:
                message = f"F1 is that of the label {self._positive(space)!r} (task.positive)."
                found.append(Finding("note", "positive_label", message))
        return found

    def space(self, rows: Rows) -> Space:
        """Return the distinct labels of the training rows, sorted.

        Raises:
            DataError: there are fewer than two labels, or none of them is `positive`.
        """
        space = super().space(rows)
        if self.positive is not None and self.positive not in space.labels:
            raise DataError(
                f"task.positive is {self.positive!r}, which no training row has.{near(self.positive, space.labels)} "
                f"Labels: {listing(space.labels)}."
            )
        return space

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return what every task of one label gives; of two labels, which rows are and are said to be positive too."""
        found = super().grade(answers, examples, space)
        if len(space.labels) == 2:
            positive = self._positive(space)
            found["is_positive"] = np.array([label_of(example.target) == positive for example in examples])
            found["says_positive"] = np.array([answer.value == positive for answer in answers])
        return found

    def _positive(self, space: Space) -> str:
        if self.positive is not None:
            return self.positive
        known = {label.strip().casefold(): label for label in space.labels}
        return next((known[word] for word in POSITIVE if word in known), space.labels[-1])
