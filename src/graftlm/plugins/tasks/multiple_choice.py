"""Multiple choice: a question and several answers to it, one of which is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from graftlm.contracts.choices import choices_of, commonest, forms_of, named, position, truth_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import as_text, encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

QUESTION = (
    "question", "query", "question_stem", "stem", "ctx", "sent2", "goal", "problem", "prompt", "input", "context",
    "passage", "premise", "text", "问题", "题干", "题目",
)  # fmt: skip
CONTEXT = (
    "context", "passage", "article", "story", "premise", "sent1", "document", "paragraph", "background", "text",
    "文章", "材料", "原文", "背景",
)  # fmt: skip
CHOICES = (
    "choices", "choice", "options", "option", "endings", "ending", "candidates", "candidate", "alternatives",
    "alternative", "answers", "answer", "solution", "sol", "选项", "候选",
)  # fmt: skip
ANSWER = ("answer", "label", "answerkey", "answer_key", "correct", "gold", "key", "target", "correct_answer",
          "correct_choice", "y", "答案", "正确答案", "标签")  # fmt: skip


def _hits(grades: Grades) -> np.ndarray:
    return np.asarray(grades["true"] == grades["predicted"])


def accuracy(grades: Grades) -> float:
    """Return the share of right answers."""
    return float(np.mean(_hits(grades)))


def log_loss(grades: Grades) -> float:
    """Return the mean of -ln p(truth); NaN where answers carry no probabilities."""
    return float(-np.mean(grades["log_probability"]))


class MultipleChoice(Task):
    """Reads each choice beside the question, gives it one number, and answers the choice with the highest."""

    source: ClassVar[str] = "Devlin et al. 2019, section 4.4 (SWAG): one score a choice, softmax over those of a row"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("question", "text", QUESTION, "the question, or the beginning that a choice ends"),
        Role("context", "text", CONTEXT, "a text that the question is about", required=False),
        Role("choices", "text", CHOICES, "a list of choices, or as many columns", spread="numbered", nested=True),
        Role("answer", "target", ANSWER, "the right choice: its letter, its number or its text"),
    )
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    together: ClassVar[bool] = True
    says: ClassVar[str] = "one of the choices that come with a question"
    plainly: ClassVar[str] = "print(logits[:, 0].argmax())  # one row for each choice beside the question"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", accuracy, about="share of right answers", percent=True, hits=_hits),
        Metric("log_loss", log_loss, higher_is_better=False, about="mean -ln p(truth)"),
    )
    baselines: ClassVar[tuple[str, ...]] = ("choice_position", "choice_words", "choice_probe")
    answers: Literal["auto", "text", "name", "letter", "small_letter", "from_zero", "from_one"] = "auto"
    """How an answer names a choice; auto: as most training rows can be read. `name` is a column's or a label's."""

    def fault(self, example: Example) -> str | None:
        """Return why a row is no question with choices, or names none of them."""
        texts, names = choices_of(example.fields.get("choices"))
        if not any(as_text(example.fields.get(role)).strip() for role in ("question", "context")):
            return "expected a question; got an empty one"
        if len(texts) < 2:
            return f"expected two choices at least; got {len(texts)}"
        if blank := next((place for place, text in enumerate(texts, 1) if not text.strip()), 0):
            return f"choice {blank} of {len(texts)} is empty"
        if example.target is None:
            return None
        known = forms_of(example) if self.answers == "auto" else [position(example.target, texts, names, self.answers)]
        if known in ([], [None]):
            how = "" if self.answers == "auto" else f" read as {self.answers}"
            return f"the answer '{example.target}'{how} is none of the {len(texts)} choices"
        return None

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on answers: how they are read, and which cannot be read so."""
        found: list[Finding] = []
        if "train" not in splits:
            return found
        forms = self._forms(splits["train"])
        if len(forms) > 1 and {"from_zero", "from_one"} <= set(forms):
            message = f"Whether answers count from 0 or from 1 is not clear; read as {forms[0]} (task.answers)."
            found.append(Finding("warning", "answers", message))
        else:
            found.append(Finding("note", "answers", f"Answers are read as {forms[0]} (task.answers)."))
        for name, rows in splits.items():
            if rows.target is None or not rows.has(rows.target):
                continue
            odd = [one.where for chunk in rows.chunks() for one in chunk if truth_of(one, forms[0]) is None]
            if odd:
                message = f"{len(odd)} rows of {name} have answers that are no choice, read as {forms[0]}."
                level = "error" if name == "train" else "warning"
                found.append(Finding(level, "no_choice", message, len(odd), tuple(odd[:5])))
        return found

    def _forms(self, rows: Rows) -> list[str]:
        if self.answers != "auto":
            return [self.answers]
        return commonest(Counter(form for chunk in rows.chunks() for one in chunk for form in forms_of(one))) or [
            "text"
        ]

    def space(self, rows: Rows) -> Space:
        """Return the way in which answers name choices."""
        return Space((), 1, {"answers": self._forms(rows)[0]})

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise each choice beside its question (and context), one Inputs each, in the order of the choices."""
        first: list[str] = []
        second: list[str] = []
        rows: list[int] = []
        for row, example in enumerate(examples):
            question, context = as_text(example.fields.get("question")), as_text(example.fields.get("context"))
            for text in choices_of(example.fields.get("choices"))[0]:
                first.append(context if context.strip() else question)
                second.append(f"{question} {text}".strip() if context.strip() else text)
                rows.append(row)
        return encode_texts(first, second, tokenizer, limit, rows)

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[list[int]]:
        """Return for each Inputs whether it is its row's first choice, and whether it is the right one.

        Raises:
            DataError: a row's answer is none of its choices.
        """
        found: list[list[int]] = []
        before, place = -1, 0
        for one in inputs:
            place = place + 1 if one.row == before else 0
            if place == 0:
                example = examples[one.row]
                right = truth_of(example, space.extra["answers"])
                if right is None:
                    raise DataError(
                        f"{example.where or example.id}: the answer '{example.target}' is none of the choices, read as "
                        f"{space.extra['answers']} (task.answers). Correct it or take the row out."
                    )
            before = one.row
            found.append([int(place == 0), int(place == right)])
        return found

    def count(self, targets: Any) -> int:
        """Return the number of rows."""
        return int(targets[:, 0].sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return -ln of the right choices' share in the softmax over each row's logits (S, 1), summed over rows."""
        import torch

        logits, first = outputs.logits[:, 0], targets[:, 0]
        row = first.cumsum(0) - 1
        starts = first.nonzero()[:, 0]
        place = torch.arange(len(logits), device=logits.device) - starts[row]
        wide = logits.new_full((len(starts), int(place.max()) + 1), float("-inf"))
        wide = wide.index_put((row, place), logits)
        return -(wide.log_softmax(dim=1)[row, place][targets[:, 1] == 1]).sum()

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the choice with the highest logit, named as the training rows name choices."""
        texts, names = choices_of(example.fields.get("choices"))
        logits = np.concatenate([np.ravel(piece) for piece in pieces]).astype(np.float64)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = int(logits.argmax())
        said, sure = named(best, texts, names, space.extra["answers"]), float(shares[best])
        public = {"answer": said, "choice": texts[best], "probability": sure}
        return Answer(said, sure, public, {"probabilities": shares.tolist()})

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return `true` and `predicted` (numbers of choices, -1 and -2 for none) and `log_probability` of the truth."""
        form = space.extra["answers"]
        true, predicted, logs = [], [], []
        for answer, example in zip(answers, examples, strict=True):
            right = truth_of(example, form)
            said = position(answer.value, *choices_of(example.fields.get("choices")), form)
            shares = answer.detail.get("probabilities")
            true.append(-1 if right is None else right)
            predicted.append(-2 if said is None else said)
            least = float(np.finfo(np.float64).eps)
            share = least if right is None else shares[right] if shares else float("nan")
            logs.append(np.log(max(share, least)) if share == share else share)
        return {"true": np.array(true), "predicted": np.array(predicted), "log_probability": np.array(logs)}

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return how often each place is right, is said, and is right when said: a model may like a place."""
        true, predicted = grades["true"], grades["predicted"]
        rows = [
            [str(place + 1), int((true == place).sum()), int((predicted == place).sum()),
             int(((true == place) & (predicted == place)).sum())]
            for place in range(max(int(true.max(initial=0)), int(predicted.max(initial=0))) + 1)
        ]  # fmt: skip
        return {
            "tables": [{"title": "Places", "columns": ["choice", "right", "said", "both"], "rows": rows, "about": ""}]
        }

    def knows(self, example: Example, space: Space) -> bool:
        """Tell whether the answer of a row is one of its choices."""
        return truth_of(example, space.extra["answers"]) is not None

    def truth(self, example: Example) -> str:
        """Return the answer as it is written."""
        return as_text(example.target).strip()
