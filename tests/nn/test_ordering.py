"""The order of the data: each row once an epoch, a function of seed and lengths alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graftlm.nn import ordering

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=400).map(np.array)


@given(LENGTHS, st.integers(1, 33), st.booleans(), st.integers(0, 2**32))
def test_each_row_stands_in_exactly_one_batch(lengths, size, bucket, seed):
    plan = ordering.batches(lengths, size, np.random.default_rng(seed), bucket=bucket)
    assert sorted(int(row) for rows in plan for row in rows) == list(range(len(lengths)))
    sizes = sorted(map(len, plan))
    assert len(plan) == -(-len(lengths) // size)
    assert all(each == size for each in sizes[1:])  # all full but one


@given(LENGTHS, st.integers(1, 33), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_order(lengths, size, seed):
    first, second = (ordering.batches(lengths, size, np.random.default_rng(seed)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@given(LENGTHS, st.integers(1, 33), st.integers(0, 2**32))
def test_the_longest_rows_come_first(lengths, size, seed):
    plan = ordering.batches(lengths, size, np.random.default_rng(seed))
    assert lengths[plan[0]].max() == lengths.max()


def test_another_seed_gives_another_order():
    lengths = np.arange(1, 300)
    first, second = (ordering.batches(lengths, 8, np.random.default_rng(seed), bucket=False) for seed in (0, 1))
    assert [list(rows) for rows in first] != [list(rows) for rows in second]


def test_buckets_take_most_of_the_padding_away():
    lengths = np.random.default_rng(0).integers(2, 60, 2_000)
    shares = [
        ordering.padding_share(lengths, ordering.batches(lengths, 32, np.random.default_rng(1), bucket=bucket))
        for bucket in (True, False)
    ]
    assert shares[0] < 0.05 < 0.3 < shares[1]


def test_the_padding_share_counts_what_padding_adds():
    lengths = np.array([4, 2, 3])
    assert ordering.padding_share(lengths, [np.array([0, 1]), np.array([2])]) == 1 - 9 / 11
    assert ordering.padding_share(np.array([5, 5]), [np.array([0, 1])]) == 0


def test_no_rows_give_no_batches():
    assert ordering.batches(np.zeros(0, np.int64), 4, np.random.default_rng(0)) == []


def test_what_belongs_together_stays_together_in_its_order():
    together = np.repeat(np.arange(11), [3, 1, 2, 3, 3, 1, 4, 2, 2, 3, 1])
    lengths = np.random.default_rng(0).integers(1, 30, len(together))
    for bucket in (True, False):
        cut = ordering.batches(lengths, 4, np.random.default_rng(1), bucket=bucket, together=together)
        assert sorted(np.concatenate(cut).tolist()) == list(range(len(together)))
        assert [len(np.unique(together[rows])) for rows in cut].count(4) == 2
        for rows in cut:
            for number in np.unique(together[rows]):
                place = np.flatnonzero(together[rows] == number)
                assert np.diff(place).tolist() == [1] * (len(place) - 1)
                assert np.diff(rows[place]).tolist() == [1] * (len(place) - 1)
