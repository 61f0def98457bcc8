"""BM25 against the formula written out, and terms of several scripts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graftlm.nn.bm25 import BM25
from graftlm.nn.words import terms


def test_scores_equal_the_formula_written_out():
    documents = ["a b b c", "a d", "e e e a f g", "h"]
    split = [d.split() for d in documents]
    mean = sum(map(len, split)) / 4
    found = BM25(documents, k1=1.2, b=0.6).scores(["b a zz", "e e"])
    for q, query in enumerate([["b", "a", "zz"], ["e", "e"]]):
        for d, words in enumerate(split):
            expected = 0.0
            for term in query:
                n, tf = sum(term in other for other in split), words.count(term)
                rarity = math.log(1 + (4 - n + 0.5) / (n + 0.5))
                expected += rarity * tf / (tf + 1.2 * (1 - 0.6 + 0.6 * len(words) / mean))
            assert found[q, d] == pytest.approx(expected, abs=1e-12)


def test_words_that_no_document_has_score_nothing():
    assert np.array_equal(BM25(["a b", "c"]).scores(["zz", ""]), np.zeros((2, 2)))
    assert BM25(["", ""]).scores(["a"]).tolist() == [[0.0, 0.0]]


def test_terms_are_folded_words_and_characters_with_their_pairs():
    assert terms("The CARD, ｆｕｌｌ!") == ["the", "card", "full"]
    assert terms("我的card丢了") == ["我", "的", "我的", "card", "丢", "了", "丢了"]
