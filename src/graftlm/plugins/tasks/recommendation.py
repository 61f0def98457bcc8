"""Recommendation: the items that a user turns to next, from the texts of the items before (two towers, one encoder)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from graftlm.contracts.interactions import KEPT, item_texts, kept, moment_of, number_of, sequences
from graftlm.contracts.rows import ID, WHERE, Rows, fingerprint
from graftlm.contracts.task import Metric, Preparing, Role, Task
from graftlm.contracts.texts import encode_texts
from graftlm.contracts.values import Answer, Example, Finding, Grades, Inputs, Outputs, Space
from graftlm.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

USER = ("userId", "user_id", "uid", "customer", "customer_id", "reviewerID", "member", "session", "用户", "用户编号")
ITEM = (
    "itemId", "item_id", "iid", "movieId", "movie_id", "product", "product_id", "asin", "article_id", "book_id", "isbn",
    "history", "物品", "商品", "商品编号", "电影",
)  # fmt: skip
TEXT = ("title", "item_text", "name", "description", "item_title", "标题", "名称", "描述")
TIME = ("timestamp", "date", "datetime", "created_at", "unixReviewTime", "时间", "日期")
RATING = ("score", "stars", "overall", "评分", "分数")
AT = 10
"""How many items are recommended."""


def _mean(grades: Grades, gain: Any, only: np.ndarray | None = None) -> float:
    rank = grades["rank"] if only is None else grades["rank"][only]
    return float(np.mean(np.where(rank <= AT, gain(rank), 0.0))) if len(rank) else math.nan


def ndcg(grades: Grades) -> float:
    """Return the mean of 1 / log2(1 + rank) of the next item, 0 below the first ten: nDCG@10 with one right item."""
    return _mean(grades, lambda rank: 1 / np.log2(1 + rank))


def hit_rate(grades: Grades) -> float:
    """Return the share of users whose next item is among the first ten."""
    return _mean(grades, np.ones_like)


def mrr(grades: Grades) -> float:
    """Return the mean of 1 / rank of the next item, 0 below the first ten."""
    return _mean(grades, lambda rank: 1 / rank)


def _hits(grades: Grades) -> np.ndarray:
    return grades["rank"] <= AT


class Recommendation(Task):
    """Ranks the whole catalogue for a user; the last item of each is the test, the one before it the validation."""

    source: ClassVar[str] = (
        "Yi et al. 2019 (Sampling-bias-corrected neural modeling, RecSys), section 3: two towers, in-batch softmax; "
        "full catalogue and leave-last-out as in Krichene & Rendle 2020 (KDD), section 2"
    )
    roles: ClassVar[tuple[Role, ...]] = (
        Role("user", "other", USER, "who turned to the item"),
        Role("item", "other", ITEM, "the item's id; when answering, a user's, oldest first", nested=True),
        Role("text", "text", TEXT, "its text, where it stands beside each interaction", required=False, nested=True),
        Role("time", "other", TIME, "when: a number or a date; without it, the order of the rows", required=False),
        Role("rating", "other", RATING, "how the user liked it: a number", required=False),
        Role("next", "target", ("next_item",), "the item that came next: made of the interactions", required=False),
    )
    auto_model: ClassVar[str] = "AutoModel"
    embeds: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    together: ClassVar[bool] = True
    across: ClassVar[bool] = True
    splits_itself: ClassVar[bool] = True
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("ndcg@10", ndcg, about="1 / log2(1 + rank) of the next item, over the whole catalogue", percent=True),
        Metric("hit_rate@10", hit_rate, about="next item among the first ten", percent=True, hits=_hits),
        Metric("mrr@10", mrr, about="1 / rank of the next item", percent=True),
    )
    baselines: ClassVar[tuple[str, ...]] = ("popularity", "item_knn", "zero_shot")
    items: str | None = None
    """File with the texts of the items: a column with their ids, and further columns that are read as one text."""
    history: int = Field(5, ge=1, le=200)
    """Newest items of a user that are looked at."""
    decay: float = Field(0.8, gt=0, le=1)
    """Weight of an item against that of the one after it."""
    per_user: int = Field(20, ge=1, le=10_000)
    """Newest steps of a user that are learned from."""
    scale: float = Field(10.0, gt=0, le=1000)
    """What cosines are multiplied by: one over the temperature."""
    prior: float = Field(1.0, ge=0, le=10)
    """Weight of ln(popularity) beside scaled cosines. Negatives come as often as they are popular, so that the model
    learns what popularity does not tell, and 1 puts both together."""
    at_least: float | None = None
    """Interactions with a lower rating are left out."""

    def fault(self, example: Example) -> str | None:
        """Return that user or item is empty, or that a time or rating cannot be read, or None."""
        for role in ("user", "item"):
            value = example.fields.get(role)
            if value is None or not str(value).strip():
                return f"expected the {role}'s id; got none"
        rating = example.fields.get("rating")
        if rating is not None and number_of(rating) is None:
            return f"expected a rating as a number; got {rating!r}"
        time = example.fields.get("time")
        if time is not None and moment_of(time) is None:
            return f"expected a time as a number or a date such as 2026-01-31; got {time!r}"
        return None

    def prepare(self, splits: dict[str, Rows], setting: Preparing) -> dict[str, Rows]:
        """Turn interactions into steps of a user, history and next item; cut the last ones off for the judges.

        Raises:
            DataError: no user has a step, or texts of items are missing.
        """
        steps = {name: sequences(rows, self.at_least) for name, rows in splits.items()}
        texts = item_texts(splits, self.items, setting.read, ITEM) if "train" in splits else {}
        made: dict[str, list[tuple[str, list[str], str]]] = {name: [] for name in ("train", "valid", "test")}
        held = {"valid", "test"} - set(splits)
        before: dict[str, list[str]] = {}
        for name in ("train", "valid", "test"):
            for user, items in steps.get(name, {}).items():
                past = before.setdefault(user, [])
                every = [*past, *items]
                if name != "train":
                    made[name].append((user, every[:-1], every[-1]))
                else:
                    for other in held:
                        place = -1 if other == "test" else -len(held)  # validation lies before the test
                        if len(every) > -place:
                            made[other].append((user, every[:place], every[place]))
                    last = len(every) - len(held)
                    # the newest step holds all that came before, for those who count; the others what is read of them
                    made["train"] += [
                        (user, every[0 if n == last - 1 else max(0, n - self.history) : n], every[n])
                        for n in range(max(1, last - self.per_user), last)
                    ]
                before[user] = every
        found = {name: [step for step in given if step[1]] for name, given in made.items() if given}
        if not found.get("train" if "train" in splits else "test"):
            raise DataError(
                "No user has enough items: a user needs two, three where validation rows are cut off and four to learn "
                "from one. Is 'user' the right column? Name it with data.columns, {user: COLUMN}."
            )
        counts: dict[str, int] = {}
        if "train" in splits:
            for items in steps["train"].values():
                for item in items[: max(len(items) - len(held), 0)]:
                    counts[item] = counts.get(item, 0) + 1
        single = sum(len(items) == 1 for items in steps.get("train", {}).values())
        held_items = {"items": [[item, texts[item], counts.get(item, 0)] for item in texts], "single": single}
        return {name: self._rows(name, given, texts, held_items) for name, given in found.items()}

    def _rows(self, name: str, steps: Sequence[tuple[str, list[str], str]], texts: Any, held: Any) -> Rows:
        import pyarrow as pa

        recent = [[texts.get(item, item) for item in past[: -self.history - 1 : -1]] for _, past, _ in steps]
        table = pa.table(
            {
                "user": pa.array([user for user, *_ in steps], pa.string()),
                "item": pa.array([past for _, past, _ in steps], pa.list_(pa.string())),
                "text": pa.array(recent, pa.list_(pa.string())),
                "next_text": pa.array([texts.get(item, item) for *_, item in steps], pa.string()),
                "next": pa.array([item for *_, item in steps], pa.string()),
                ID: pa.array([str(n) for n in range(1, len(steps) + 1)], pa.string()),
                WHERE: pa.array([f"user {user}, item {len(past) + 1}" for user, past, _ in steps], pa.string()),
            }
        )
        return Rows(name, table.replace_schema_metadata({KEPT: json.dumps(held)}), "next", fingerprint(table))

    def asked(self, chunks: Iterable[Sequence[Example]]) -> Iterator[list[Example]]:
        """Yield one example for each user, of all rows of that user: interactions in their order, or lists of items."""
        first: dict[str, Example] = {}
        steps: dict[str, list[tuple[float, int, Any]]] = {}
        for number, example in enumerate(example for chunk in chunks for example in chunk):
            user, time = str(example.fields["user"]), example.fields.get("time")
            rating = number_of(example.fields.get("rating"))
            first.setdefault(user, example)
            own = steps.setdefault(user, [])
            if self.at_least is None or rating is None or rating >= self.at_least:
                own.append(((moment_of(time) if time is not None else None) or 0.0, number, example.fields["item"]))
        users = iter(first.items())
        while some := list(islice(users, 4096)):
            own = [_joined([item for *_, item in sorted(steps[user], key=itemgetter(0, 1))]) for user, _ in some]
            yield [
                replace(example, fields={**example.fields, "item": items})
                for (_, example), items in zip(some, own, strict=True)
            ]

    def check(self, splits: dict[str, Rows]) -> list[Finding]:
        """Return how many users have one item alone, and how many items are cold."""
        found: list[Finding] = []
        known = kept(splits["train"]) if "train" in splits else None
        if known is None:
            return found
        if known["single"]:
            message = f"train: {known['single']} users have one item alone: nothing comes after it, they are left out."
            found.append(Finding("warning", "single", message, known["single"]))
        cold = {item for item, _, count in known["items"] if not count}
        message = f"{len(cold):,} of {len(known['items']):,} items are cold: no training step has them."
        found.append(Finding("note", "cold", message, len(cold)))
        for name in ("valid", "test"):
            if name in splits:
                number = sum(item in cold for item in splits[name].column("next"))
                message = f"{name}: the next item of {number} of {len(splits[name])} users is a cold one."
                found.append(Finding("note", "cold", message, number))
                pairs = zip(splits[name].column("item"), splits[name].column("next"), strict=True)
                if again := sum(item in past for past, item in pairs):
                    message = (
                        f"{name}: the next item of {again} of {len(splits[name])} users is one that they had before; "
                        "answers are new items, so that these count as missed."
                    )
                    found.append(Finding("note", "again", message, again))
        return found

    def space(self, rows: Rows) -> Space:
        """Return the catalogue: ids, texts, and how often each item stands in the training rows."""
        known = kept(rows)
        if known is None:
            raise DataError("The rows have no catalogue: they were not prepared by this task.")
        ids, texts, counts = ([entry[n] for entry in known["items"]] for n in range(3))
        return Space(extra={"items": ids, "texts": texts, "counts": counts})

    def catalogue(self, space: Space) -> Sequence[str]:
        """Return the texts of all items."""
        return list(space.extra["texts"])

    def encode(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise the newest item of each user; what the items before it are like is looked up in the catalogue."""
        newest = []
        for example in examples:
            texts = example.fields.get("text") or _history(example)[-1:]
            newest.append(texts if isinstance(texts, str) else (texts[0] if texts else ""))
        found = encode_texts(newest, None, tokenizer, limit)
        return [replace(one, keep={"place": 0}) for one in found]

    def encode_training(self, examples: Sequence[Example], tokenizer: Any, limit: int) -> list[Inputs]:
        """Tokenise the next item and the newest ones before it, each by itself."""
        asked = [
            (row, place, text)
            for row, example in enumerate(examples)
            for place, text in enumerate([example.fields["next_text"], *example.fields["text"]])
        ]
        found = encode_texts([text for *_, text in asked], None, tokenizer, limit, [row for row, *_ in asked])
        return [
            replace(one, keep={"place": place, "text": text})
            for (_, place, text), one in zip(asked, found, strict=True)
        ]

    def targets(self, examples: Sequence[Example], inputs: Sequence[Inputs], space: Space) -> list[Any]:
        """Return for each text its place (0: the next item, 1: the newest before it) and a number for the text."""
        return [(one.keep["place"], hash(one.keep.get("text", ""))) for one in inputs]

    def stack(self, targets: Sequence[Any]) -> Any:
        """Return places and text numbers as tensors (B,)."""
        import torch

        places, texts = zip(*targets, strict=True)
        return {"place": torch.tensor(places), "text": torch.tensor(texts)}

    def count(self, targets: Any) -> int:
        """Return the number of steps."""
        return int((targets["place"] == 0).sum())

    def loss(self, outputs: Outputs, targets: Any) -> Tensor:
        """Return the in-batch softmax loss of the next items, summed; a user's own items are no negatives."""
        import torch

        from graftlm.nn import comparing

        place, text, vectors = targets["place"], targets["text"], outputs.logits
        step = (place == 0).cumsum(0) - 1
        number = int(step[-1]) + 1
        past = place > 0
        weights = torch.pow(torch.tensor(self.decay, device=vectors.device), place[past].float() - 1)
        unit = torch.nn.functional.normalize(vectors, dim=-1)
        users = unit.new_zeros(number, unit.shape[1]).index_add(0, step[past], weights[:, None] * unit[past])
        following = text[place == 0]
        right = torch.arange(number, device=vectors.device)
        same = (following[None, :] == following[:, None]) & (right[:, None] != right[None, :])
        seen = text[past][:, None] == following[None, :]
        own = torch.zeros_like(same, dtype=torch.int64).index_add(0, step[past], seen.long()) > 0
        left_out = same | (own & (right[:, None] != right[None, :]))
        return comparing.negatives(users, unit[place == 0], right, left_out, self.scale) * number

    def decode(self, example: Example, inputs: Sequence[Inputs], pieces: Sequence[np.ndarray], space: Space) -> Answer:
        """Return the ids of the ten best items that the user has not had.

        The last piece is the catalogue's vectors (C, H), or the scores (C,) themselves.
        """
        index = _index(space)
        history = _history(example, index.numbers)
        own = [index.numbers[item] for item in history if item in index.numbers]
        last = pieces[-1]
        if getattr(last, "ndim", 2) == 2:
            recent = own[: -self.history - 1 : -1]
            weights = float(self.decay) ** np.arange(len(recent))
            user = np.asarray(weights @ last[recent]).ravel() if recent else np.zeros(last.shape[1])
            user = user / max(float(np.linalg.norm(user)), 1e-12)
            scores = self.scale * np.asarray(last @ user).ravel() + self.prior * index.log_share
        else:
            scores = np.array(last, dtype=np.float64)
        scores[own] = -np.inf
        best = np.argsort(-scores, kind="stable")[:AT]
        best = best[scores[best] > -np.inf]  # a small catalogue has fewer new ones
        value = [index.ids[n] for n in best]
        rank, cold = math.inf, True
        if example.target is not None and (truth := index.numbers.get(str(example.target))) is not None:
            # of items with the same score, half stand before it
            ties = int((scores == scores[truth]).sum()) - 1
            rank, cold = 1 + int((scores > scores[truth]).sum()) + ties / 2, index.counts[truth] == 0
        detail = {"texts": [index.texts[n] for n in best], "scores": scores[best].round(6).tolist()}
        public: dict[str, Any] = {"user": str(example.fields.get("user", "")), "items": value}
        if unknown := [item for item in history if item not in index.numbers]:
            public["unknown"] = unknown
        return Answer(value, None, public, {**detail, "rank": rank, "cold": bool(cold)})

    def grade(self, answers: Sequence[Answer], examples: Sequence[Example], space: Space) -> Grades:
        """Return the `rank` of the next item in the catalogue, and whether it is `cold`."""
        return {
            "rank": np.array([float(answer.detail["rank"]) for answer in answers]),
            "cold": np.array([float(answer.detail["cold"]) for answer in answers]),
        }

    def details(self, grades: Grades, space: Space) -> dict[str, Any]:
        """Return the figures of users whose next item is cold, and of the others."""
        rows = []
        for name, mask in (("known", grades["cold"] == 0), ("cold", grades["cold"] == 1)):
            part = {key: column[mask] for key, column in grades.items()}
            rows.append([name, int(mask.sum()), *((hit_rate(part), ndcg(part)) if mask.any() else (None, None))])
        columns = ["next item", "users", "hit_rate@10", "ndcg@10"]
        about = "Cold items stand in no training step."
        return {"tables": [{"title": "Cold items", "columns": columns, "rows": rows, "about": about}]}


class _Index:
    """The catalogue of a space, looked up by id."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.ids, self.texts = list(space.extra["items"]), list(space.extra["texts"])
        self.counts = np.array(space.extra["counts"], dtype=np.float64)
        self.numbers = {item: number for number, item in enumerate(self.ids)}
        # ln of each item's share of the training steps (C,), every item counted once more
        self.log_share = np.log((self.counts + 1) / (self.counts.sum() + len(self.counts)))


_LAST: list[_Index] = []
"""The index of the space that was asked for last: answers come by the thousand from one space."""


def _index(space: Space) -> _Index:
    found = _LAST[0] if _LAST else None
    if found is None or found.space is not space:
        found = _Index(space)
        _LAST[:] = [found]
    return found


def _joined(items: Sequence[Any]) -> Any:
    """Return what the rows of a user hold as one list; a single row's as it is."""
    if len(items) == 1:
        return items[0]
    return [one for item in items for one in (item if isinstance(item, list | tuple) else [item])]


def _history(example: Example, known: Mapping[str, int] | None = None) -> list[str]:
    """Return the ids of a user's items, oldest first: a list, or text with commas, bars or spaces between them.

    What is an id that is `known`, the text or a part of it, is not cut further.
    """
    given = example.fields.get("item")
    if isinstance(given, list | tuple):
        return [str(item) for item in given]
    parts = [str(given or "").strip()]
    for mark in (r"[;|]", ",", r"\s"):
        parts = [
            one.strip() for part in parts for one in ([part] if part in (known or {}) else re.split(mark, part)) if one
        ]
    return [part for part in parts if part]
