"""Nearest vectors by inner product: exact below a size, an index of faiss or hnswlib above it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import numpy as np

from graftlm.core import log
from graftlm.core.optional import need

Index = Literal["auto", "exact", "faiss", "hnswlib"]
EXACT = 50_000
"""Vectors up to which every one is compared: 50,000 of 384 numbers take some 20 ms for each query on one core."""
NEIGHBOURS, BUILD, SEARCH = 32, 200, 128
"""Links of a vector, and candidates that are kept while building and searching (Malkov & Yashunin 2018, section 4)."""


def search(vectors: np.ndarray, index: Index = "auto") -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function of queries (Q, H) and k to the numbers (Q, k) of the nearest vectors (N, H), best first.

    `auto` compares all vectors up to 50,000 of them, and above takes faiss or hnswlib, where one is installed.

    Raises:
        MissingPackage: the index that is asked for is not installed.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if index == "auto":
        there = [name for name in ("faiss", "hnswlib") if find_spec(name) is not None]
        if len(vectors) > EXACT and there:
            index = "faiss" if "faiss" in there else "hnswlib"
        elif len(vectors) > EXACT:
            log.note(
                f"index: all {len(vectors):,} vectors are compared, which is slow; pip install 'graftlm[index]' helps"
            )
    if index == "faiss":
        return _faiss(vectors)
    if index == "hnswlib":
        return _hnswlib(vectors)

    def exact(queries: np.ndarray, k: int) -> np.ndarray:
        k = min(k, len(vectors))
        found = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), 256):
            found[start : start + 256] = best(np.asarray(queries[start : start + 256], np.float32) @ vectors.T, k)
        return found

    return exact


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the numbers (Q, k) of the k highest scores (Q, N), best first; of equal ones the earlier."""
    if k < scores.shape[1]:
        part = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    else:
        part = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1)


def _faiss(vectors: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    faiss = need("faiss", "index", "The index 'faiss'")
    graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = BUILD, SEARCH
    graph.add(vectors)

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        k = min(k, len(vectors))
        graph.hnsw.efSearch = max(SEARCH, k)
        return np.asarray(graph.search(np.ascontiguousarray(queries, dtype=np.float32), k)[1])

    return ask


def _hnswlib(vectors: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    hnswlib = need("hnswlib", "index", "The index 'hnswlib'")
    graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
    graph.init_index(max_elements=len(vectors), ef_construction=BUILD, M=NEIGHBOURS, random_seed=0)
    graph.add_items(vectors, num_threads=1)  # one thread: the graph, and so the answers, are the same each time

    def ask(queries: np.ndarray, k: int) -> np.ndarray:
        k = min(k, len(vectors))
        graph.set_ef(max(SEARCH, k))
        return np.asarray(graph.knn_query(np.asarray(queries, np.float32), k=k)[0]).astype(np.int64)

    return ask
