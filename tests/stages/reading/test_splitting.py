import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.core import registry
from graftlm.core.errors import DataError
from graftlm.stages.reading import splitting

shares = st.floats(0.05, 0.6)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=8), share=shares, seed=st.integers(0, 99))
def test_stratified_keeps_the_proportions_and_a_row_of_each_class(counts, share, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(classes)
    mask = splitting.stratified(classes, share, np.random.default_rng(seed))
    total = np.array(counts)
    given_ = np.bincount(classes[mask], minlength=len(counts))
    assert (given_ < total).all()  # so that a class with one row stays
    assert (given_ <= np.minimum(np.ceil(total * share) + 1, total - 1)).all()
    assert (given_ >= np.minimum(np.floor(total * share), total - 1)).all()
    assert mask.sum() == min(round(share * total.sum()), (total - 1).sum()) or (given_ == total - 1).any()


def test_stratified_is_a_function_of_its_seed():
    classes = np.arange(200) % 7
    one, same, other = (splitting.stratified(classes, 0.2, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


@given(rows=st.integers(0, 50), share=shares)
def test_random_takes_its_share_and_leaves_a_row(rows, share):
    mask = splitting.random(rows, share, np.random.default_rng(0))
    assert mask.sum() == min(round(share * rows), max(rows - 1, 0))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), share=shares)
def test_a_group_never_stands_on_both_sides(sizes, share):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    mask = splitting.grouped(groups, share, np.random.default_rng(0))
    for group in range(len(sizes)):
        assert len(set(mask[groups == group])) == 1
    assert not mask.all()
    if len(sizes) > 20:
        assert abs(mask.sum() - share * len(groups)) <= max(sizes)


def test_the_latest_rows_are_cut():
    mask = splitting.latest(np.array([3, 1, 9, 9, 2]), 0.4)
    assert mask.tolist() == [False, False, True, True, False]
    assert splitting.latest(np.array([5, 5, 5]), 0.34).tolist() == [False, False, True]


@pytest.mark.parametrize(
    "values",
    [
        ["2", "10", "1"],
        [2.5, 10.0, 1.0],
        ["2026-01-02", "2026-01-10", "2025-12-31"],
        ["2026-01-02 10:00:00", "2026-01-10 09:00:00", "2026-01-02 09:59:59"],
        ["2026年1月2日", "2026年1月10日", "2025年12月31日"],
        ["2.1.2026".replace("2.1.", "02.01."), "10.01.2026", "31.12.2025"],
        [datetime.date(2026, 1, 2), datetime.date(2026, 1, 10), datetime.date(2025, 12, 31)],
    ],
    ids=str,
)
def test_times_sort_as_time_goes(values):
    assert np.argsort(splitting.times(pa.chunked_array([values]), "when")).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("values", "message"), [(["soon", "now"], "holds 'soon'"), (["1", None], "lacks a value in 1")]
)
def test_times_that_are_none_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        splitting.times(pa.chunked_array([values]), "when")


def test_splits_from_a_column_with_the_words_that_people_use():
    column = pa.chunked_array([["train", "Dev", "测试"], ["VALIDATION", "训练集", " test "]])
    assert splitting.from_column(column, "split").tolist() == ["train", "valid", "test", "valid", "train", "test"]
    with pytest.raises(DataError, match=r"Column 'split' \(data.split.column\) must name .* it holds 'fold1', 'none'"):
        splitting.from_column(pa.chunked_array([["train", "fold1", None]]), "split")


def test_codes_do_not_depend_on_chunks_or_order():
    one = splitting.codes(pa.chunked_array([["b", "a"], ["c", None, "a"]]))
    two = splitting.codes(pa.chunked_array([["b", "a", "c", None, "a"]]))
    assert one.tolist() == two.tolist()
    assert one[1] == one[4] < one[0] < one[2]
    assert splitting.codes(pa.chunked_array([[["x"], ["y"], ["x"]]])).tolist() == [0, 1, 0]


def test_targets_that_never_repeat_are_split_at_random_and_it_is_said():
    target = pa.chunked_array([[str(i) for i in range(100)]])
    mask, how = splitting.cut("stratified", 0.1, 0, "valid", target=target, column=None, name=None, rows=100)
    assert mask.sum() == 10
    assert how["by"] == "random"
    assert "nothing to stratify by" in how["why"]


def test_truths_in_words_that_come_once_are_cut_off_in_proportion():
    target = pa.chunked_array([["none"] * 520 + [f"answer {i}" for i in range(480)]])
    asked = {"target": target, "column": None, "name": None, "rows": 1000}
    mask, how = splitting.cut("stratified", 0.1, 0, "valid", **asked, keeps_each=False)
    assert how["by"] == "stratified"
    assert (mask[:520].sum(), mask[520:].sum()) == (52, 48)
    mask, _ = splitting.cut("stratified", 0.1, 0, "valid", **asked)  # classes: one that has a single row keeps it
    assert (mask[:520].sum(), mask[520:].sum()) == (53, 0)


@pytest.mark.parametrize("task", ["extractive_qa", "tagging", "multilabel", "classification", "pair"])
def test_which_truths_are_classes(task):
    assert registry.load("task", task).of_classes == (task in ("classification", "pair"))


@given(st.lists(st.sampled_from(["train", "valid", "test"]), min_size=1, max_size=30), st.integers(1, 7))
def test_divide_gives_each_row_to_its_split_in_order(assigned, size):
    table = pa.table({"n": list(range(len(assigned)))})
    table = pa.Table.from_batches(table.to_batches(max_chunksize=size), table.schema)
    parts = splitting.divide(table, np.array(assigned, dtype=object), ("train", "valid", "test"))
    for name, part in parts.items():
        assert part.column("n").to_pylist() == [i for i, split in enumerate(assigned) if split == name]
