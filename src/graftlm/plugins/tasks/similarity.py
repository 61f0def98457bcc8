"""Similarity: how close two texts are in meaning, by the cosine of their vectors (a bi-encoder)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from graftlm.contracts.interactions import number_of
from graftlm.contracts.rows import ID, Rows, fingerprint, pick
from graftlm.contracts.task import Metric, Preparing, Role, Task
from graftlm.contracts.texts import as_text, encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import UserError
from graftlm.nn import ranks

if TYPE_CHECKING:
    from torch import Tensor

TEXT = (
    "sentence1", "text1", "text_a", "anchor", "query", "question", "question1", "premise", "sentence", "sentence_A",
    "source", "句子1", "文本1", "文本", "问题", "查询",
)  # fmt: skip
PAIR = (
    "sentence2", "text2", "text_b", "positive", "pos", "positives", "answer", "question2", "hypothesis", "document",
    "passage", "paraphrase", "sentence_B", "句子2", "文本2", "答案", "相似句",
)  # fmt: skip
NEGATIVE = ("neg", "negatives", "hard_negative", "negative_text", "反例", "负例")
SCORE = (
    "similarity", "similarity_score", "relatedness", "relatedness_score", "sts", "label", "labels", "rating", "gold",
    "分数", "得分", "相似度", "标签",
)  # fmt: skip
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 5.0), (1.0, 5.0), (0.0, 10.0), (0.0, 100.0))
"""Ranges in use, narrowest first: the first that holds all scores is taken."""
ROLES = ("text", "text_pair", "negative")
METRICS = {"scores": "spearman", "triplets": "accuracy", "pairs": "mrr", "texts": "mrr"}
"""What decides, by the kind of rows."""


class _Detail(Mapping[str, Any]):
    """The vectors of an answer's texts, turned into lists when they are asked for."""

    __slots__ = ("vectors",)

    def __init__(self, vectors: Mapping[str, Any]) -> None:
        self.vectors = vectors

    def __getitem__(self, key: str) -> Any:
        if key != "embeddings":
            raise KeyError(key)
        return {role: np.asarray(vector, np.float64).round(7).tolist() for role, vector in self.vectors.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(("embeddings",))

    def __len__(self) -> int:
        return 1


def _correlation(kind: str, grades: Grades) -> float:
    from scipy import stats

    known = np.isfinite(grades["score"])
    true, given = grades["score"][known], grades["cosine"][known]
    if len(true) < 2 or np.ptp(true) == 0:
        return math.nan
    if np.ptp(given) == 0:
        return 0.0  # answers that are all alike order nothing
    return float(getattr(stats, kind)(true, given).statistic)


def spearman(grades: Grades) -> float:
    """Return the rank correlation of scores and cosines; NaN without scores."""
    return _correlation("spearmanr", grades)


def pearson(grades: Grades) -> float:
    """Return the linear correlation of scores and cosines; NaN without scores."""
    return _correlation("pearsonr", grades)


def accuracy(grades: Grades) -> float:
    """Return the share of triplets whose positive is nearer than the negative; NaN without triplets."""
    known = np.isfinite(grades["negative"])
    return float(np.mean(grades["cosine"][known] > grades["negative"][known])) if known.any() else math.nan


def mrr(grades: Grades) -> float:
    """Return the mean of 1 / rank of each text's own partner among all partners; NaN without pairs."""
    known = np.isfinite(grades["rank"])
    return float(np.mean(1 / grades["rank"][known])) if known.any() else math.nan


def recall_at(k: int, grades: Grades) -> float:
    """Return the share of texts whose own partner is among the k nearest; NaN without pairs."""
    known = np.isfinite(grades["rank"])
    return float(np.mean(grades["rank"][known] <= k)) if known.any() else math.nan


def recall_at_1(grades: Grades) -> float:
    """Return recall at 1."""
    return recall_at(1, grades)


def recall_at_10(grades: Grades) -> float:
    """Return recall at 10."""
    return recall_at(10, grades)


class Similarity(Task):
    """Learns vectors from scored pairs, from pairs that belong together, or from triplets."""

    source: ClassVar[str] = (
        "Reimers & Gurevych 2019 (Sentence-BERT), section 3; losses: Henderson et al. 2017, section 4.4; CoSENT (Su "
        "2022); AnglE (Li & Li 2024, arXiv:2309.12871, section 3.3)"
    )
    roles: ClassVar[tuple[Role, ...]] = (
        Role("text", "text", TEXT, "the first text, or the only one when answering"),
        Role(
            "text_pair",
            "text",
            PAIR,
            "the second text: scored, or one that belongs to the first",
            required=False,
            nested=True,
        ),
        Role("negative", "text", NEGATIVE, "a text that does not belong to the first", required=False, nested=True),
        Role("score", "target", SCORE, "how alike the two texts are: a number", required=False),
    )
    auto_model: ClassVar[str] = "AutoModel"
    embeds: ClassVar[bool] = True
    together: ClassVar[bool] = True
    across: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("spearman", spearman, about="rank correlation of scores and cosines", percent=True),
        Metric("pearson", pearson, about="linear correlation of scores and cosines", percent=True),
        Metric("accuracy", accuracy, about="share of triplets with the positive nearer", percent=True),
        Metric("mrr", mrr, about="mean of 1 / rank of the right partner among all", percent=True),
        Metric("recall@1", recall_at_1, about="right partner is the nearest", percent=True),
        Metric("recall@10", recall_at_10, about="right partner among the ten nearest", percent=True),
    )
    baselines: ClassVar[tuple[str, ...]] = ("tfidf_cosine", "zero_shot")
    objective: Literal["auto", "cosine", "cosent", "angle", "multiple_negatives"] = "auto"
    """Loss: squared error of the cosine, CoSENT, AnglE (for scores), multiple negatives (for pairs and triplets); auto:
    cosent for scores, else multiple negatives."""
    scale: float = Field(20.0, gt=0, le=1000)
    """What cosines are multiplied by in all but the squared error: one over the temperature."""
    low: float | None = None
    """The score of texts that have nothing in common; None: by the range that the training scores lie in."""
    high: float | None = None
    """The score of texts that say the same; None: likewise."""

    def settled(self, rows: Rows, tokenizer: Any) -> Task:
        """Fill in the loss, the range of scores and the metric."""
        kind = _kind(rows)
        found: dict[str, Any] = {"metric": self.metric or METRICS[kind]}
        if self.objective == "auto":
            found["objective"] = "cosent" if kind == "scores" else "multiple_negatives"
        if kind == "scores":
            low, high = self._range(rows)
            found |= {"low": low, "high": high}
        return self.model_copy(update=found)

    def _range(self, rows: Rows) -> tuple[float, float]:
        scores = [x for value in rows.column("score") if (x := number_of(value)) is not None]
        least, most = min(scores, default=0.0), max(scores, default=1.0)
        guess = next((pair for pair in RANGES if pair[0] <= least and most <= pair[1]), (least, most))
        return (guess[0] if self.low is None else self.low), (guess[1] if self.high is None else self.high)

    def fault(self, example: Example) -> str | None:
        """Return which text is missing or is none, or that a score is no number, or None."""
        for role, which in (("text", "first"), ("text_pair", "second"), ("negative", "negative")):
            value = example.fields.get(role, "")
            several = isinstance(value, list | tuple)
            if several and (role == "text" or example.target is not None):
                return f"expected one {which} text{' beside a score' if role != 'text' else ''}; got a list"
            texts = value if several else [value]
            if any(isinstance(one, list | dict) for one in texts):
                return f"expected a text, or a list of texts, as the {which} text; got {value!r:.60}"
            blank = not texts or any(not as_text(one).strip() for one in texts)
            # a row without a negative is a pair among triplets
            if role in example.fields and blank and (role != "negative" or (several and texts)):
                return f"expected a {which} text; got an empty one"
        if example.target is None or number_of(example.target) is not None:
            return None
        return f"expected a number as the score; got {example.target!r}"

    def prepare(self, splits: dict[str, Rows], setting: Preparing) -> dict[str, Rows]:
        """Make several rows of one that has lists of texts that belong to the first, and of texts that do not."""
        return {name: _one_each(rows) for name, rows in splits.items()}

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on what the rows hold: scores, pairs or triplets; scores that are none, or out of range."""
        found: list[Finding] = []
        kinds = {name: _kind(rows) for name, rows in splits.items()}
        for name, rows in splits.items():
            if kinds[name] == "texts":
                message = (
                    f"{name}: expected a second text in each row; found one text alone. Name its column with "
                    "data.columns, {text_pair: COLUMN}."
                )
                found.append(Finding("error", "no_pair", message, len(rows)))
            if rows.has("score") and rows.has("negative"):
                message = f"{name}: expected scores or negatives; got both. Leave one of the columns out."
                found.append(Finding("error", "score_and_negative", message, len(rows)))
        if any(finding.level == "error" for finding in found) or "train" not in splits:
            return found
        if self.metric is None and len(set(kinds.values())) > 1:
            told = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
            message = f"Training rows and those that judge are of different kinds ({told}): set task.metric."
            found.append(Finding("error", "kinds", message))
        kind = kinds["train"]
        if self.objective == "multiple_negatives" and kind == "scores":
            message = (
                "task.objective: multiple_negatives learns from pairs that belong together; the training rows have "
                "scores. Use cosent, angle or cosine, or leave the score column out of the file."
            )
            found.append(Finding("error", "objective", message))
        if self.objective in ("cosine", "cosent", "angle") and kind != "scores":
            message = (
                f"task.objective: {self.objective} learns from scores; the training rows are {kind} without a score. "
                "Name the column with data.columns, {score: COLUMN}, or use multiple_negatives."
            )
            found.append(Finding("error", "objective", message))
        if kind == "scores":
            found += self._about_scores(splits)
        return found

    def _about_scores(self, splits: dict[str, Rows]) -> Iterator[Finding]:
        low, high = self._range(splits["train"])
        if not low < high:
            message = (
                f"Scores must differ, the least below the most; they go from {low:g} to {high:g} (task.low, task.high)."
            )
            yield Finding("error", "score_range", message)
            return
        for name, rows in splits.items():
            if not rows.has("score"):
                continue
            given = rows.column("score")
            bad = [n for n, value in enumerate(given) if (x := number_of(value)) is not None and not low <= x <= high]
            if bad:
                message = (
                    f"{name}: {len(bad)} of {len(rows)} scores lie outside {low:g} to {high:g} (the first: "
                    f"{given[bad[0]]!r}). Mend them, or set task.low and task.high."
                )
                places = tuple(rows.where(n) for n in bad[:5])
                yield Finding("error", "score_out_of_range", message, len(bad), places)
        message = f"Scores from {low:g} to {high:g} are scaled to 0 to 1 (task.low, task.high)."
        yield Finding("note", "score_range", message)

    def space(self, rows: Rows) -> Space:
        """Return no labels: the answers are vectors."""
        return Space()

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise each text of each example by itself."""
        asked = [
            (row, place, as_text(example.fields[role]))
            for row, example in enumerate(examples)
            for place, role in enumerate(ROLES)
            if place == 0 or as_text(example.fields.get(role)).strip()
        ]
        found = encode_texts([text for *_, text in asked], None, tokenizer, limit, [row for row, *_ in asked])
        return [
            replace(one, keep={"place": place, "text": text})
            for (_, place, text), one in zip(asked, found, strict=True)
        ]

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return for each text its place, the scaled score of its example (NaN without), and a number for the text."""
        known = [number_of(example.target) for example in examples]
        low, high = self.low or 0.0, 1.0 if self.high is None else self.high
        scores = [math.nan if x is None else (x - low) / (high - low) for x in known]
        return [(one.keep["place"], scores[one.row], hash(one.keep["text"])) for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Any:
        """Return places, scores and text numbers as tensors (B,)."""
        import torch

        places, scores, texts = zip(*targets, strict=True)
        return {"place": torch.tensor(places), "score": torch.tensor(scores), "text": torch.tensor(texts)}

    def count(self, targets: Any) -> int:
        """Return the number of examples."""
        return int((targets["place"] == 0).sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the objective's mean over the batch times its number of examples."""
        import torch

        from graftlm.nn import comparing

        place, vectors = targets["place"], outputs.logits
        anchors, positives = vectors[place == 0], vectors[place == 1]
        scores = targets["score"][place == 0]
        if self.objective == "multiple_negatives" or (self.objective == "auto" and scores.isnan().all()):
            texts = torch.cat([targets["text"][place == 1], targets["text"][place == 2]])
            right = torch.arange(len(anchors), device=vectors.device)
            same = (texts[None, :] == texts[: len(anchors), None]) & (
                right[:, None] != torch.arange(len(texts), device=vectors.device)[None, :]
            )
            others = torch.cat([positives, vectors[place == 2]])
            return comparing.negatives(anchors, others, right, same, self.scale) * len(anchors)
        if self.objective == "cosine":
            return comparing.squared(comparing.cosines(anchors, positives), scores) * len(anchors)
        alike = comparing.angles if self.objective == "angle" else comparing.cosines
        return comparing.ordered(alike(anchors, positives), scores, self.scale) * len(anchors)

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[Any], space: Space) -> Answer:
        """Return the cosine of two texts, or the vector of one."""
        vectors = {ROLES[one.keep["place"]]: piece for one, piece in zip(inputs, pieces, strict=True)}
        detail = _Detail(vectors)
        if "text_pair" not in vectors:
            vector = np.asarray(vectors["text"], np.float64).round(7).tolist()
            return Answer(vector, None, {"embedding": vector}, detail)
        cosine = _cosine(vectors["text"], vectors["text_pair"])
        return Answer(cosine, None, {"cosine": round(cosine, 6)}, detail)

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return `score`, `cosine`, `negative` (its cosine) and `rank` (of the own partner), NaN where none."""
        none = np.full(len(answers), np.nan)
        grades: Grades = {
            "score": np.array([math.nan if (x := number_of(e.target)) is None else x for e in examples]),
            "cosine": np.array([float(answer.value) for answer in answers]),
            "negative": none.copy(),
            "rank": none.copy(),
        }
        plain = np.flatnonzero(np.isnan(grades["score"])).tolist()
        details: list[Any] = [answers[row].detail for row in plain]
        found = [detail.vectors for detail in details]
        for row, vectors in zip(plain, found, strict=True):
            if "negative" in vectors:
                grades["negative"][row] = _cosine(vectors["text"], vectors["negative"])
        if len(plain):
            anchors, partners = (_unit([vectors[role] for vectors in found]) for role in ROLES[:2])
            grades["rank"][plain] = ranks.ranks(anchors, partners, np.arange(len(plain)))
        return grades

    def truth(self, example: Example) -> Any:
        """Return the score as a number, or None."""
        return number_of(example.target)


def _one_each(rows: Rows) -> Rows:
    """Return rows with one text in each place: lists side by side, the shorter one from its beginning again."""
    import pyarrow as pa

    roles = [role for role in ROLES[1:] if rows.has(role) and pa.types.is_list(rows.table.column(role).type)]
    if not roles:
        return rows
    numbers: list[int] = []
    made: dict[str, list[Any]] = {role: [] for role in (*roles, ID)}
    for row, (ident, *lists) in enumerate(zip(*(rows.column(name) for name in (ID, *roles)), strict=True)):
        texts = [given or [None] for given in lists]
        size = max(map(len, texts))
        numbers += [row] * size
        made[ID] += [f"{ident}-{n}" for n in range(1, size + 1)] if size > 1 else [ident]
        for role, own in zip(roles, texts, strict=True):
            made[role] += [own[n % len(own)] for n in range(size)]
    table = pick(rows.table, numbers)
    for name, values in made.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
    return Rows(rows.name, table, rows.target, fingerprint(table))


def _kind(rows: Rows) -> str:
    if not rows.has("text_pair"):
        return "texts"
    return "scores" if rows.has("score") else "triplets" if rows.has("negative") else "pairs"


def _cosine(first: Any, second: Any) -> float:
    if hasattr(first, "multiply"):  # sparse rows of length one
        return float(first.multiply(second).sum())
    return float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-12))


def _unit(vectors: Sequence[Any]) -> Any:
    """Return vectors as the rows of one matrix, each of length one."""
    if hasattr(vectors[0], "multiply"):
        from scipy.sparse import vstack

        return vstack(list(vectors), format="csr")
    if len({len(vector) for vector in vectors}) != 1:
        raise UserError("The answers have vectors of different lengths: they are not of one model.")
    stacked = np.stack(vectors)
    return stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)
