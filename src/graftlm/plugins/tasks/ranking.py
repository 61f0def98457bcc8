"""Ranking: documents in the order in which they answer a query, by a cross-encoder that reads both together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from graftlm.contracts.interactions import number_of
from graftlm.contracts.rows import ID, WHERE, Rows, fingerprint
from graftlm.contracts.task import Metric, Preparing, Role, Task
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core import log, seeds
from graftlm.core.errors import DataError
from graftlm.nn import ranks
from graftlm.nn.nearest import Index, best, search

if TYPE_CHECKING:
    from torch import Tensor

QUERY = ("question", "q", "search", "topic", "anchor", "text", "sentence1", "查询", "问题", "搜索词")
DOCUMENT = (
    "passage", "doc", "paragraph", "context", "positive", "candidate", "answer", "content", "body", "product",
    "sentence2", "text_pair", "pos", "positives", "documents", "passages", "文档", "段落", "答案", "候选",
)  # fmt: skip
NEGATIVE = ("neg", "negatives", "hard_negative", "hard_negatives", "negative_passage", "反例", "负例")
RELEVANCE = (
    "relevant", "rel", "label", "labels", "grade", "score", "judgment", "judgement", "qrel", "target", "相关性",
    "相关度", "标签",
)  # fmt: skip
AT = 10


def _mean(name: str, grades: Grades) -> float:
    """Return the mean over the queries that have a relevant document; NaN where none has."""
    column = grades[name]
    known = np.isfinite(column)
    return float(column[known].mean()) if known.any() else math.nan


class Ranking(Task):
    """Puts the documents of a query into order; an example is a query with all its documents."""

    source: ClassVar[str] = (
        "Nogueira & Cho 2019 (arXiv:1901.04085), section 3; softmax over a query's documents: Cao et al. 2007 "
        "(ListNet), section 4, and Gao et al. 2021 (arXiv:2101.08751), eq. 3"
    )
    roles: ClassVar[tuple[Role, ...]] = (
        Role("query", "text", QUERY, "what is asked; several rows may have the same query"),
        Role("document", "text", DOCUMENT, "a document to be ranked for the query, or a list of them", nested=True),
        Role("negative", "other", NEGATIVE, "documents that are not relevant", required=False, nested=True),
        Role("relevance", "target", RELEVANCE, "how relevant it is: 0 for not, or grades", required=False, nested=True),
    )
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    together: ClassVar[bool] = True
    group: ClassVar[str | None] = "query"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ndcg@10", partial(_mean, "ndcg@10"), about="gain by grade and rank, over the best order", percent=True),
        Metric("mrr", partial(_mean, "mrr"), about="mean of 1 / rank of the first relevant document", percent=True),
        Metric("recall@10", partial(_mean, "recall@10"), about="relevant documents among the first ten", percent=True),
        Metric("map", partial(_mean, "map"), about="mean precision at each relevant document", percent=True),
    )
    baselines: ClassVar[tuple[str, ...]] = ("bm25", "tfidf_cosine", "zero_shot")
    objective: Literal["softmax", "binary"] = "softmax"
    """Loss: softmax cross-entropy over the documents of a query, or relevant or not for each alone."""
    negatives: int = Field(4, ge=1, le=100)
    """Documents that are not relevant beside the relevant ones of a query in training."""
    candidates: int = Field(20, ge=2, le=1000)
    """Documents that are ranked for a query where the rows hold relevant ones only, or a retriever is named."""
    retriever: str | None = None
    """Run or bundle of a bi-encoder whose candidates are ranked; None: those in the rows, or else BM25's."""
    index: Index = "auto"
    """How the retriever's nearest vectors are found; auto: exactly up to 50,000 documents."""

    def fault(self, example: Example) -> str | None:
        """Return that a query or document is empty, or that a relevance is no number from 0 on, or None."""
        documents: list[Any] = _documents(example)
        against: list[Any] = _against(example)
        grades = example.target if isinstance(example.target, list) else [example.target] * len(documents)
        if not str(example.fields.get("query") or "").strip():
            return "expected a query; got an empty one"
        if not documents or not all(str(doc or "").strip() for doc in documents):
            return "expected a document; got an empty one"
        if not all(str(doc or "").strip() for doc in against):
            return "expected a document that is not relevant; got an empty one"
        if strange := [doc for doc in (*documents, *against) if not isinstance(doc, str)]:
            return f"expected a document as text; got {strange[0]!r:.60}"
        if len(grades) != len(documents):
            return f"expected a relevance for each of {len(documents)} documents; got {len(grades)}"
        for grade in grades:
            value = number_of(grade)
            if grade is not None and (value is None or value < 0):
                return f"expected a relevance of 0 or more; got {grade!r}"
        return None

    def prepare(self, splits: dict[str, Rows], setting: Preparing) -> dict[str, Rows]:
        """Gather the rows of a query; mine documents where the rows hold none that are not relevant."""
        gathered = {name: _gathered(rows) for name, rows in splits.items()}
        corpus = list(dict.fromkeys(doc for one in gathered.values() for docs in one.documents for doc in docs))
        mined = [name for name, one in gathered.items() if self.retriever is not None or one.positives_only]
        nearest = self._retriever(corpus, setting) if mined else None
        found: dict[str, Rows] = {}
        for name, one in gathered.items():
            if nearest is not None and name in mined:
                source = "BM25" if self.retriever is None else "the retriever"
                log.note(
                    f"{name}: candidates of {source} among {len(corpus):,} documents for {len(one.queries):,} queries"
                )
                one = self._mined(one, corpus, nearest, seeds.generator(setting.seed, "negatives"), name == "train")
            elif name == "train":
                one = _thinned(one, self.negatives, seeds.generator(setting.seed, "negatives"))
            found[name] = one.rows(name)
        return found

    def _retriever(self, corpus: list[str], setting: Preparing) -> Callable[[Sequence[str], int], np.ndarray]:
        if len(corpus) < 2:
            raise DataError(f"Ranking needs at least two different documents; the rows hold {len(corpus)}.")
        if self.retriever is None:
            from graftlm.nn.bm25 import BM25

            bm25 = BM25(corpus)

            def by_words(queries: Sequence[str], k: int) -> np.ndarray:
                k = min(k, len(corpus))
                parts = [best(bm25.scores(queries[i : i + 256]), k) for i in range(0, len(queries), 256)]
                return np.concatenate(parts)

            return by_words
        run = self.retriever
        ask = search(setting.embed(run, corpus), self.index)
        return lambda queries, k: ask(setting.embed(run, queries), k)

    def _mined(
        self, one: _Gathered, corpus: list[str], nearest: Any, rng: np.random.Generator, training: bool
    ) -> _Gathered:
        """Return queries with the retriever's candidates; in training, with all relevant documents and a few others."""
        found = nearest(one.queries, self.candidates)
        documents, relevance, missed = [], [], []
        for number, numbers in enumerate(found):
            known = dict(zip(one.documents[number], one.relevance[number], strict=True))
            listed = [corpus[place] for place in numbers if place >= 0]
            if training:
                others = [doc for doc in listed if known.get(doc, 0.0) <= 0]
                if not others:
                    others = [doc for doc in (corpus[n] for n in rng.permutation(len(corpus))[:50]) if doc not in known]
                chosen = np.sort(rng.permutation(len(others))[: self.negatives])
                listed = [doc for doc, rel in known.items() if rel > 0] + [others[n] for n in chosen]
            documents.append(listed)
            relevance.append([known.get(doc, 0.0) for doc in listed])
            missed.append([rel for doc, rel in known.items() if rel > 0 and doc not in listed])
        return replace(one, documents=documents, relevance=relevance, missed=missed)

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return findings on queries that teach or measure nothing."""
        found: list[Finding] = []
        for name, rows in splits.items():
            if not rows.has("relevance"):
                continue
            lists = rows.column("relevance")
            missed = rows.column("missed") if rows.has("missed") else [[]] * len(lists)
            none = [n for n, given in enumerate(lists) if not any(r > 0 for r in [*given, *missed[n]])]
            places = tuple(rows.where(n) for n in none[:5])
            if len(none) == len(lists):
                message = f"{name}: no query has a relevant document (relevance above 0). Is it the right column?"
                found.append(Finding("error", "nothing_relevant", message, len(none), places))
                continue
            if none:
                does = "teach nothing" if name == "train" else "are left out of the figures"
                message = f"{name}: {len(none)} of {len(lists)} queries have no relevant document: they {does}."
                found.append(Finding("warning", "nothing_relevant", message, len(none), places))
            lost = sum(map(len, missed))
            if lost and name != "train":
                total = lost + sum(r > 0 for given in lists for r in given)
                message = (
                    f"{name}: {lost} of {total} relevant documents are not among the candidates; no order finds them "
                    "(task.candidates, task.retriever)."
                )
                found.append(Finding("note", "missed", message, lost))
            if name == "train":
                flat = [n for n, given in enumerate(lists) if len(set(given)) < 2]
                if len(flat) == len(lists):
                    message = (
                        "train: no query has documents of different relevance, so that there is no order to learn."
                    )
                    found.append(Finding("error", "no_order", message, len(flat)))
        return found

    def space(self, rows: Rows) -> Space:
        """Return one output: the score of a document."""
        return Space(size=1)

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise the query with each of its documents."""
        asked = [(row, n, doc) for row, example in enumerate(examples) for n, doc in enumerate(_documents(example))]
        queries = [examples[row].fields["query"] for row, *_ in asked]
        found = encode_texts(queries, [doc for *_, doc in asked], tokenizer, limit, [row for row, *_ in asked])
        return [replace(one, keep={"place": place}) for (_, place, _), one in zip(asked, found, strict=True)]

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return for each document its place in its query's list and its relevance."""
        return [(one.keep["place"], float(examples[one.row].target[one.keep["place"]])) for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Any:
        """Return places and relevances as tensors (B,)."""
        import torch

        places, relevance = zip(*targets, strict=True)
        return {"place": torch.tensor(places), "relevance": torch.tensor(relevance, dtype=torch.float32)}

    def count(self, targets: Any) -> int:
        """Return the number of queries."""
        return int((targets["place"] == 0).sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the sum over queries of the cross-entropy between relevances, as shares of one, and scores."""
        import torch
        from torch.nn import functional

        place, relevance = targets["place"], targets["relevance"]
        query = (place == 0).cumsum(0) - 1
        shape = (self.count(targets), int(place.max()) + 1)
        scores = outputs.logits.new_full(shape, -torch.inf).index_put((query, place), outputs.logits.squeeze(-1))
        wanted = torch.zeros(shape, device=scores.device).index_put((query, place), relevance)
        real = scores.isfinite()
        if self.objective == "binary":
            each = functional.binary_cross_entropy_with_logits(
                scores.masked_fill(~real, 0.0), (wanted > 0).float(), reduction="none"
            )
            return ((each * real).sum(1) / real.sum(1)).sum()
        shares = wanted / wanted.sum(1, keepdim=True).clamp(min=1e-9)
        return -(shares * scores.log_softmax(1).masked_fill(~real, 0.0)).sum()

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the documents in order, or the score of the only one."""
        documents = _documents(example)
        scores = np.array([float(np.ravel(piece)[0]) for piece in pieces])
        detail = {"scores": [round(score, 6) for score in scores.tolist()]}
        if isinstance(example.fields["document"], str):
            return Answer(float(scores[0]), None, {"score": round(float(scores[0]), 6)}, detail)
        order = np.argsort(-scores, kind="stable")
        value = [documents[n] for n in order]
        return Answer(value, None, {"ranking": [int(n) for n in order], "scores": detail["scores"]}, detail)

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return the figures of each query, NaN where it has no relevant document."""
        names = ("ndcg@10", "mrr", "recall@10", "map")
        found = np.full((len(answers), len(names)), np.nan)
        for row, (answer, example) in enumerate(zip(answers, examples, strict=True)):
            given = example.target if isinstance(example.target, list) else [number_of(example.target) or 0.0]
            relevance = np.array(given, dtype=np.float64)
            every = np.concatenate([relevance, np.array(example.fields.get("missed") or [], dtype=np.float64)])
            total = int((every > 0).sum())
            if not total:
                continue
            ranked = relevance[np.argsort(-np.array(answer.detail["scores"]), kind="stable")]
            found[row] = (
                ranks.ndcg(ranked, every, AT),
                ranks.reciprocal(ranked),
                ranks.recall(ranked, total, AT),
                ranks.average_precision(ranked, total),
            )
        return dict(zip(names, found.T, strict=True))


def _documents(example: Example) -> list[str]:
    given = example.fields["document"]
    return list(given) if isinstance(given, list | tuple) else [given]


def _against(example: Example) -> list[str]:
    """Return the documents that a row says are not relevant."""
    given = example.fields.get("negative")
    if isinstance(given, list | tuple):
        return list(given)
    return [str(given)] if str(given or "").strip() else []


@dataclass(frozen=True)
class _Gathered:
    """The queries of a split, each with its documents, their relevance, and that of relevant ones not in its list."""

    queries: list[str]
    documents: list[list[str]]
    relevance: list[list[float]]
    missed: list[list[float]]
    ids: list[str]
    where: list[str]
    positives_only: bool

    def rows(self, name: str) -> Rows:
        """Return one row for each query."""
        import pyarrow as pa

        table = pa.table(
            {
                "query": pa.array(self.queries, pa.string()),
                "document": pa.array(self.documents, pa.list_(pa.string())),
                "missed": pa.array(self.missed, pa.list_(pa.float64())),
                "relevance": pa.array(self.relevance, pa.list_(pa.float64())),
                ID: pa.array(self.ids, pa.string()),
                WHERE: pa.array(self.where, pa.string()),
            }
        )
        return Rows(name, table, "relevance", fingerprint(table))


def _gathered(rows: Rows) -> _Gathered:
    """Gather the rows of each query, in the order of their first ones; a document keeps its best grade."""
    place_of: dict[str, int] = {}
    known: list[dict[str, float]] = []
    ids, where = [], []
    for example in (example for chunk in rows.chunks() for example in chunk):
        query = str(example.fields.get("query") or "")
        documents = [str(doc or "") for doc in _documents(example)]
        grades = example.target if isinstance(example.target, list) else [example.target] * len(documents)
        number = place_of.setdefault(query, len(place_of))
        if number == len(known):
            known.append({})
            ids.append(example.id)
            where.append(example.where)
        for doc, grade in zip(documents, grades, strict=True):
            value = 1.0 if rows.target is None else number_of(grade) or 0.0
            known[number][doc] = max(value, known[number].get(doc, value))
        for doc in _against(example):
            known[number].setdefault(doc, 0.0)
    grades_ = [list(one.values()) for one in known]
    flat = {grade for one in grades_ for grade in one}
    alike = len(flat) == 1 and min(flat, default=0.0) > 0
    return _Gathered(list(place_of), [list(one) for one in known], grades_, [[] for _ in known], ids, where, alike)


def _thinned(one: _Gathered, negatives: int, rng: np.random.Generator) -> _Gathered:
    """Return training queries with all documents that are relevant and at most so many of the others."""
    documents, relevance = [], []
    for docs, grades in zip(one.documents, one.relevance, strict=True):
        others = [n for n, grade in enumerate(grades) if grade <= 0]
        if len(others) > negatives:
            kept = {others[n] for n in rng.permutation(len(others))[:negatives]}
            keep = [n for n, grade in enumerate(grades) if grade > 0 or n in kept]
            docs, grades = [docs[n] for n in keep], [grades[n] for n in keep]
        documents.append(docs)
        relevance.append(grades)
    return replace(one, documents=documents, relevance=relevance)
