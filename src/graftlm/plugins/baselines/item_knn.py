"""Item-kNN: the items that had the same users as those of the one who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from graftlm.contracts.baseline import Baseline, BaselineSetting, Fitted
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer
from graftlm.core.errors import UserError


class ItemKnn(Baseline):
    """Sums the cosines, by their users, of an item with the user's newest ones among its nearest neighbours."""

    source: ClassVar[str] = "Sarwar et al. 2001 (WWW), section 3; Deshpande & Karypis 2004 (TOIS), section 4"
    about: ClassVar[str] = "items with the same users"
    neighbours: int = Field(20, ge=1, le=10_000)
    """Nearest items that count for an item."""
    last: int | None = Field(10, ge=1)
    """Newest items of a user that count; None: all."""

    def fit(self, rows: Rows, setting: BaselineSetting) -> Fitted:
        """Compare the users of items.

        Raises:
            UserError: the task has no catalogue of items.
        """
        ids = setting.space.extra.get("items")
        if ids is None or not rows.has("user"):
            raise UserError(
                f"The baseline 'item_knn' recommends items; the task '{setting.task.name()}' has none. Take it out of "
                "evaluate.baselines."
            )
        number_of = {item: number for number, item in enumerate(ids)}
        near = self._near(rows, number_of)

        def fitted(asked: Rows) -> Sequence[Answer]:
            found = []
            for example in asked.examples():
                past = [number_of[item] for item in example.fields["item"] if item in number_of]
                scores = np.zeros(len(ids))
                for item in past if self.last is None else past[-self.last :]:
                    begin, end = near.indptr[item : item + 2]
                    scores[near.indices[begin:end]] += near.data[begin:end]
                found.append(setting.task.decode(example, [], [scores], setting.space))
            return found

        return fitted

    def _near(self, rows: Rows, number_of: Mapping[str, int]) -> Any:
        """Return (C, C): row i holds the cosine with i of each item that has i among its nearest."""
        from scipy.sparse import csr_matrix

        longest: dict[str, list[str]] = {}
        for user, past, item in zip(rows.column("user"), rows.column("item"), rows.column("next"), strict=True):
            if len(past) >= len(longest.get(user, ())):
                longest[user] = [*past, item]
        pairs = {
            (n, number_of[item]) for n, items in enumerate(longest.values()) for item in items if item in number_of
        }
        users, items = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
        table = csr_matrix((np.ones(len(users)), (users, items)), shape=(len(longest), len(number_of)))
        both = (table.T @ table).tocsr()
        length = np.sqrt(both.diagonal())
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        for item in range(len(number_of)):
            begin, end = both.indptr[item : item + 2]
            others = both.indices[begin:end]
            cosine = both.data[begin:end] / (length[others] * length[item])
            cosine[others == item] = 0
            best = np.sort(np.argsort(-cosine, kind="stable")[: self.neighbours])
            best = best[cosine[best] > 0]
            kept.append((others[best], cosine[best]))
        edges = np.concatenate([[0], np.cumsum([len(others) for others, _ in kept])])
        numbers, cosines = (np.concatenate([pair[side] for pair in kept]) for side in (0, 1))
        shape = (len(number_of), len(number_of))
        return csr_matrix((cosines, numbers, edges), shape=shape).T.tocsr()
