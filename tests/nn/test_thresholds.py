"""Thresholds and average precision: against brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from graftlm.nn.thresholds import average_precision, f1_thresholds, ranks


def test_ranks_begin_at_the_highest_and_equal_scores_share_one():
    assert ranks(np.array([[0.1, 5.0], [0.9, 5.0], [0.1, 7.0]])).tolist() == [[1, 1], [0, 1], [1, 0]]


def test_average_precision_of_each_label_equals_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = np.round(rng.normal(size=(60, 4)), 1), rng.random((60, 4)) < 0.3
    truth[:, 3] = False
    found = average_precision(ranks(scores), truth)
    expected = [average_precision_score(truth[:, n], scores[:, n]) for n in range(3)]
    assert found[:3] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(found[3])


def test_without_shrinking_f1_is_the_best_that_any_threshold_gives():
    rng = np.random.default_rng(1)
    truth = rng.random((200, 3)) < np.array([0.5, 0.2, 0.05])
    scores = np.round(rng.normal(size=truth.shape) + truth, 1)
    found = f1_thresholds(scores, truth, shrink=0.0)
    for label in range(3):
        every = [f1_score(truth[:, label], scores[:, label] >= t) for t in np.unique(scores[:, label])]
        assert f1_score(truth[:, label], scores[:, label] >= found[label]) == pytest.approx(max(every))


def test_a_label_with_few_rows_stays_near_the_common_threshold():
    rng = np.random.default_rng(2)
    truth = np.zeros((1000, 2), bool)
    truth[:300, 0] = truth[:1, 1] = True
    scores = rng.normal(size=truth.shape) + 2 * truth
    scores[0, 1] = 50.0  # one row says: no other score than this one is right
    rare = f1_thresholds(scores, truth)[1]
    assert rare < 10.0
    assert f1_thresholds(scores, truth, shrink=0.0)[1] > 25.0
    none = f1_thresholds(scores[:, 1:], np.zeros((1000, 1), bool))
    assert none.tolist() == [0.0]
