"""BM25 over a set of documents: sparse matrices, all queries at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graftlm.nn.words import terms

K1, B = 1.5, 0.75


class BM25:
    """Scores documents for queries (Robertson & Zaragoza 2009, eq. 3.15), inverse frequency as Lucene's.

    score = sum over query terms of ln(1 + (N - n + 0.5) / (n + 0.5)) tf / (tf + k1 (1 - b + b length / mean length)).
    """

    def __init__(self, documents: Sequence[str], *, k1: float = K1, b: float = B) -> None:
        from scipy.sparse import csr_matrix

        self.numbers: dict[str, int] = {}
        counts = self._counts(documents, grow=True)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        containing = np.bincount(counts.indices, minlength=len(self.numbers))
        rarity = np.log1p((len(documents) - containing + 0.5) / (containing + 0.5))
        rows = np.repeat(np.arange(len(documents)), np.diff(counts.indptr))
        mean = lengths.mean() if len(documents) and lengths.sum() else 1.0
        damped = counts.data + k1 * (1 - b + b * lengths[rows] / mean)
        weights = rarity[counts.indices] * counts.data / damped
        self.weights: Any = csr_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """Return the scores (Q, N) of all documents for each query."""
        return np.asarray((self._counts(queries, grow=False) @ self.weights.T).todense())

    def _counts(self, texts: Sequence[str], *, grow: bool) -> Any:
        from scipy.sparse import csr_matrix

        indices: list[int] = []
        edges = [0]
        for text in texts:
            for term in terms(text):
                if grow:
                    indices.append(self.numbers.setdefault(term, len(self.numbers)))
                elif (number := self.numbers.get(term)) is not None:
                    indices.append(number)
            edges.append(len(indices))
        shape = (len(texts), len(self.numbers))
        found = csr_matrix((np.ones(len(indices)), np.array(indices, dtype=np.int64), np.array(edges)), shape=shape)
        found.sum_duplicates()
        return found
