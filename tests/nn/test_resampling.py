"""Properties of folds, parts and bootstrap rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.nn.resampling import bootstrap_rows, percentile_interval, stratified_folds, stratified_part

targets = st.lists(st.integers(0, 6), min_size=3, max_size=80).map(np.array)


@given(targets, st.integers(2, 5), st.integers(0, 9))
def test_folds_spread_every_class_evenly(target, folds, seed):
    number = stratified_folds(target, folds, seed=seed)
    assert set(number) <= set(range(folds))
    for part in [np.full(len(target), True), *(target == c for c in set(target))]:
        counts = np.bincount(number[part], minlength=folds)
        assert counts.max() - counts.min() <= 1


@given(targets, st.integers(1, 100), st.integers(0, 9))
def test_part_holds_every_class_in_proportion(target, size, seed):
    rows = stratified_part(target, size, seed=seed)
    assert len(set(rows.tolist())) == len(rows)
    assert set(target[rows]) == set(target)
    assert min(size, len(target)) <= len(rows) <= size + len(set(target)) or size >= len(target)
    for label in set(target):
        assert np.sum(target[rows] == label) <= size * np.mean(target == label) + 2 or size >= len(target)


def test_bootstrap_is_seeded_and_has_the_size():
    one, two = (list(bootstrap_rows(50, 3, seed=1)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert all(len(rows) == 50 and 0 <= rows.min() and rows.max() < 50 for rows in one)


def test_interval_of_a_mean_matches_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    means = [values[rows].mean() for rows in bootstrap_rows(400, 4000, seed=0)]
    low, high = percentile_interval(means)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)
