"""Nearest vectors: exact against a sort of everything, the indexes against the exact ones."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from graftlm.core.errors import MissingPackage
from graftlm.nn.nearest import best, search


def unit(count, seed, width=16):
    found = np.random.default_rng(seed).normal(size=(count, width))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_exact_search_equals_a_sort_of_everything():
    vectors, queries = unit(300, 0), unit(20, 1)
    order = np.argsort(-(queries.astype("float32") @ vectors.astype("float32").T), axis=1, kind="stable")
    assert np.array_equal(search(vectors, "exact")(queries, 7), order[:, :7])
    assert search(vectors[:3])(queries, 7).shape == (20, 3)


def test_of_equal_scores_the_earlier_comes_first():
    assert best(np.array([[1.0, 2.0, 2.0, 0.0]]), 4).tolist() == [[1, 2, 0, 3]]


@pytest.mark.parametrize("index", ["faiss", "hnswlib"])
def test_indexes_find_nearly_what_exact_search_finds_the_same_each_time(index):
    pytest.importorskip(index)
    vectors, queries = unit(2000, 0), unit(50, 1)
    exact = search(vectors, "exact")(queries, 10)
    found = search(vectors, index)(queries, 10)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert shared > 0.95
    assert np.array_equal(search(vectors, index)(queries, 10), found)


@pytest.mark.parametrize("index", ["faiss", "hnswlib"])
def test_a_missing_index_names_its_install_command(index, monkeypatch):
    monkeypatch.setitem(sys.modules, index, None)
    with pytest.raises(MissingPackage, match=r"pip install 'graftlm\[index\]'"):
        search(unit(5, 0), index)
