"""Extractive question answering: the place in a context that answers a question, or that none does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from graftlm.contracts.answer_scores import exact, overlap
from graftlm.contracts.right_answers import Truth, truth_of
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Metric, Role, Task
from graftlm.contracts.texts import as_text
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError
from graftlm.core.words import SPACELESS
from graftlm.nn import windows
from graftlm.nn.answer_spans import best_pairs, best_threshold, give_logits

if TYPE_CHECKING:
    from torch import Tensor, nn

QUESTION = ("question", "query", "query_text", "question_text", "q", "问题", "提问", "问句")
CONTEXT = (
    "context",
    "passage",
    "paragraph",
    "document",
    "context_text",
    "article",
    "text",
    "文章",
    "段落",
    "上下文",
    "原文",
)
START = ("answer_start", "start", "answer_starts", "start_position", "起始位置", "开始位置")
ANSWERS = ("answers", "answer", "answer_text", "label", "答案", "回答")
_NONE = "[] says that the context holds no answer"
_SAID = {
    "mended": "stand once in the context, and not where they are said to; their places were put right",
    "lost": "do not stand where they are said to, nor just once elsewhere; they are not trained on, but still count as "
    "right answers",
    "unsure": "have no start and stand several times in the context; the first place is taken",
}
_CANDIDATES = 20  # of each window
_SPACELESS = re.compile(f"[{SPACELESS}]")


def _mean(name: str, where: str | None = None, wanted: bool = True) -> Any:
    def compute(grades: Grades) -> float:
        column = grades[name] if where is None else grades[name][grades[where] == wanted]
        return float(np.mean(column)) if len(column) else float("nan")

    return compute


def _hits(grades: Grades) -> np.ndarray:
    return np.asarray(grades["exact"] == 1)


class ExtractiveQa(Task):
    """Scores the borders of spans in windows of the context; an answer is an exact part of it, with its place."""

    source: ClassVar[str] = "Devlin et al. 2019, sections 4.2 and 4.3; Rajpurkar et al. 2018; Cui et al. 2019 (CMRC)"
    roles: ClassVar[tuple[Role, ...]] = (
        Role("question", "text", QUESTION, "the question"),
        Role("context", "text", CONTEXT, "the text that holds the answer"),
        Role("start", "other", START, "the answers' starts, where they have a column", required=False, nested=True),
        Role("answers", "target", ANSWERS, "the right answers with their starts, or none", nested=True, empty=_NONE),
    )
    auto_model: ClassVar[str] = "AutoModelForQuestionAnswering"
    says: ClassVar[str] = "a part of the context, with its place, or that there is none"
    pooled: ClassVar[bool] = False
    chooses: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("f1", _mean("f1"), about="words (characters in Chinese) shared with the nearest right answer",
               percent=True),
        Metric("exact_match", _mean("exact"), about="share of answers that are a right one", percent=True, hits=_hits),
        Metric("answerable_f1", _mean("f1", "answerable"), about="F1 over questions that have an answer", percent=True),
        Metric("unanswerable_accuracy", _mean("exact", "answerable", False),
               about="share of questions without an answer that get none", percent=True),
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("no_answer", "lexical_overlap")
    stride: int = Field(128, ge=0)
    """Tokens that two windows of a long context share."""
    by: Literal["auto", "words", "characters"] = "auto"
    """What F1 counts; auto: characters where most letters of the contexts are Chinese or Japanese."""

    def fault(self, example: Example) -> str | None:
        """Return what is missing: the question, the context, or sense in the answers."""
        for role in ("question", "context"):
            if not as_text(example.fields.get(role)).strip():
                return f"the {role} is missing"
        try:
            truth_of(example)
        except ValueError as fault:
            return str(fault)
        return None

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on answers that do not stand where they are said to, and on questions without one."""
        found: list[Finding] = []
        for name, rows in splits.items():
            if rows.target is None or not rows.has(rows.target):
                continue
            wrong: dict[str, list[str]] = {"mended": [], "lost": [], "unsure": []}
            empty = useful = 0
            for example in _examples(rows):
                truth = truth_of(example)
                if truth.mended or truth.lost:
                    wrong["lost" if truth.lost else "mended"].append(example.where)
                if truth.unsure:
                    wrong["unsure"].append(example.where)
                empty += not truth.texts
                useful += truth.place is not None
            for kind, places in wrong.items():
                if places:
                    said = _SAID[kind]
                    message = f"{name}: answers of {len(places)} of {len(rows)} questions {said}."
                    found.append(Finding("warning", f"answers_{kind}", message, len(places), tuple(places[:5])))
            if empty:
                message = f"{name}: {empty} of {len(rows)} questions have no answer in their context."
                found.append(Finding("note", "unanswerable", message, empty))
            if name == "train" and not useful:
                message = (
                    "train: no question has an answer that stands in its context; nothing can be learnt. Are 'context' "
                    "and 'answers' the right columns? Name them with data.columns."
                )
                found.append(Finding("error", "no_answers", message, len(rows)))
        return found

    def space(self, rows: Rows) -> Space:
        """Return what is known of the answers: whether there may be none, the longest one, what F1 counts.

        Raises:
            DataError: no answer stands in its context.
        """
        longest = signs = spaceless = 0
        impossible = False
        for example in _examples(rows):
            truth = truth_of(example)
            impossible |= not truth.texts
            if truth.place is not None:
                longest = max(longest, truth.place[1] - truth.place[0])
            context = as_text(example.fields.get("context"))[:2_000]
            signs += sum(map(str.isalpha, context))
            spaceless += len(_SPACELESS.findall(context))
        if not longest:
            raise DataError(
                f"Question answering needs answers that stand in their contexts; found none in {len(rows)} rows. Is "
                "'answers' the right column? Name it with data.columns.answers."
            )
        by = self.by if self.by != "auto" else "characters" if spaceless > 0.5 * signs else "words"
        return Space((), 2, {"impossible": impossible, "longest": longest, "by": by, "threshold": 0.0})

    def with_logits(self, module: nn.Module) -> None:
        """Let the model give the logits of start and end as one tensor (B, 2, L)."""
        give_logits(module)

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise each different context once; a question goes before each window of its context.

        A question longer than half of the limit is cut there.
        """
        if not examples:
            return []
        around = windows.template(tokenizer, pair=True)
        contexts = {as_text(example.fields.get("context")): None for example in examples}
        coded = dict(zip(contexts, windows.tokenise(tokenizer, list(contexts)), strict=True))
        questions = windows.tokenise(tokenizer, [as_text(e.fields.get("question")).strip() for e in examples])
        found = []
        for row, (example, (asked, _)) in enumerate(zip(examples, questions, strict=True)):
            ids, offsets = coded[as_text(example.fields.get("context"))]
            most = max(1, (limit - around.size) // 2)
            lost = max(0, len(asked) - most)
            asked = asked[:most]
            begin = len(around.first) + len(asked) + len(around.middle)
            for start, stop in windows.cut(len(ids), limit - around.size - len(asked), self.stride):
                features = around.around(asked, ids[start:stop])
                found.append(Inputs(row, features, lost, {"begin": begin, "offsets": offsets[start:stop]}))
        return found

    def encode_training(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise the questions whose answer has a place, or that have none."""
        kept = [row for row, one in enumerate(examples) if (t := truth_of(one)).place is not None or not t.texts]
        inputs = self.encode([examples[row] for row in kept], tokenizer, limit)
        return [replace(one, row=kept[one.row]) for one in inputs]

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return the places of the first and last token of the answer in each window, (0, 0) where it holds none."""
        truths: dict[int, Truth] = {}
        found: list[Any] = []
        for one in inputs:
            if one.row not in truths:
                truths[one.row] = truth_of(examples[one.row])
            place, offsets = truths[one.row].place, one.keep["offsets"]
            if place is None or not offsets or offsets[0][0] > place[0] or offsets[-1][1] < place[1]:
                found.append([0, 0])
                continue
            inside = [n for n, (start, end) in enumerate(offsets) if end > place[0] and start < place[1]]
            begin = one.keep["begin"]
            found.append([begin + inside[0], begin + inside[-1]] if inside else [0, 0])
        return found

    def count(self, targets: Any) -> int:
        """Return two terms for each window: start and end."""
        return int((targets != -100).sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the summed cross-entropy of logits (B, 2, L) and places (B, 2)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.logits.flatten(0, 1), targets.flatten(), reduction="sum")

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the best span over all windows, or that there is none, where its score beats that of every span.

        By how much it must beat them is `threshold` in the space, chosen on the validation rows.
        """
        context = as_text(example.fields.get("context"))
        empty, spans = _candidates(inputs, pieces, int(space.extra["longest"]), context)
        none = (
            bool(space.extra["impossible"]) and empty - spans[0][0] > float(space.extra["threshold"]) if spans else True
        )
        scores = np.array([score for score, _, _ in spans] + [empty] * bool(space.extra["impossible"] or not spans))
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        best: list[dict[str, Any]] = [
            {"answer": context[start:end], "start": start, "end": end, "probability": float(chance)}
            for (_, start, end), chance in zip(spans, chances, strict=False)
        ]
        if len(scores) > len(spans):
            nothing = {"answer": "", "start": None, "end": None, "probability": float(chances[-1])}
            best = sorted([*best, nothing], key=lambda one: -_share(one))
        chosen = next(one for one in best if (one["start"] is None) == none)
        return Answer(chosen["answer"], _share(chosen), chosen, {"n_best": best[:_CANDIDATES]})

    def tune(
        self, examples: Sequence[Example], inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space
    ) -> Space:
        """Choose the threshold that gives the best mean score (F1, or exact match where that decides)."""
        if not space.extra["impossible"]:
            return space
        of_row: list[list[int]] = [[] for _ in examples]
        for number, one in enumerate(inputs):
            of_row[one.row].append(number)
        apart, gains = [], []
        judge = exact if self.primary.name == "exact_match" else overlap
        for example, numbers in zip(examples, of_row, strict=True):
            some = [inputs[n] for n in numbers], [pieces[n] for n in numbers]
            context = as_text(example.fields.get("context"))
            empty, spans = _candidates(*some, int(space.extra["longest"]), context)
            if not spans:
                continue
            texts = truth_of(example).texts
            _, start, end = spans[0]
            answer = context[start:end]
            gains.append(judge(answer, texts, space.extra["by"]) - judge("", texts, space.extra["by"]))
            apart.append(empty - spans[0][0])
        return replace(space, extra={**space.extra, "threshold": best_threshold(np.array(apart), np.array(gains))})

    def span(self, example: Example, place: tuple[int, int] | None, confidence: float | None = None) -> Answer:
        """Return the answer that stands at a place of the context, or that there is none: for baselines."""
        start, end = place or (None, None)
        text = as_text(example.fields.get("context"))[start:end] if place else ""
        public = {"answer": text, "start": start, "end": end, "probability": confidence}
        return Answer(text, confidence, public)

    def place(self, example: Example) -> tuple[int, int] | None:
        """Return the place of the right answer in the context, None where there is none: for baselines."""
        return truth_of(example).place

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return F1 and exact match of each answer, and whether its question has one."""
        truths = [truth_of(example).texts for example in examples]
        by = str(space.extra["by"])
        pairs = list(zip((as_text(answer.value) for answer in answers), truths, strict=True))
        return {
            "f1": np.array([overlap(answer, texts, by) for answer, texts in pairs]),
            "exact": np.array([exact(answer, texts, by) for answer, texts in pairs]),
            "answerable": np.array([bool(texts) for texts in truths]),
            "answered": np.array([bool(answer) for answer, _ in pairs]),
        }

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return how often questions with and without an answer get one."""
        rows = []
        for name, wanted in (("has an answer", True), ("has none", False)):
            own = grades["answerable"] == wanted
            if own.any():
                answered = int(grades["answered"][own].sum())
                rows.append([name, int(own.sum()), answered, float(grades["exact"][own].mean())])
        return {
            "tables": [
                {
                    "title": "Questions with and without an answer",
                    "columns": ["question", "rows", "answered", "exact match"],
                    "rows": rows,
                    "about": f"F1 counts {space.extra['by']}.",
                }
            ]
        }

    def knows(self, example: Example, space: Space) -> bool:
        """Return True: every answer is a place."""
        return True

    def truth(self, example: Example) -> list[str]:
        """Return the right answers as texts; none where there is none."""
        return list(truth_of(example).texts)


def _examples(rows: Rows) -> Iterator[Example]:
    for chunk in rows.chunks():
        yield from chunk


def _share(chosen: Mapping[str, Any]) -> float:
    return float(chosen["probability"])


def _candidates(
    inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], longest: int, context: str
) -> tuple[float, list[tuple[float, int, int]]]:
    """Return the score of "no answer", the lowest over the windows, and the best spans: score, start, end."""
    empty = min(float(piece[0, 0]) + float(piece[1, 0]) for piece in pieces)
    best: dict[tuple[int, int], float] = {}
    for one, piece in zip(inputs, pieces, strict=True):
        offsets = np.asarray(one.keep["offsets"], dtype=np.int64).reshape(-1, 2)
        for score, first, last in best_pairs(piece, one.keep["begin"], offsets, longest, _CANDIDATES):
            start, end = int(offsets[first, 0]), int(offsets[last, 1])
            inside = context[start:end]
            place = end - len(inside.lstrip()), start + len(inside.rstrip())  # some tokens hold a space
            if place[0] < place[1]:
                best[place] = max(score, best.get(place, -np.inf))
    ordered = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:_CANDIDATES]
    return empty, [(score, start, end) for (start, end), score in ordered]
