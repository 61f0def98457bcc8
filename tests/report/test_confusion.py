"""The confusion matrix: shares, order, limits."""

from __future__ import annotations

import numpy as np

from graftlm.report.confusion import DRAWN, confusion, order


def test_cells_carry_their_share_of_the_true_class():
    found = confusion({"labels": ["a", "b"], "confusion": [[0, 0, 8], [0, 1, 2], [1, 1, 5]]})
    assert sorted(found["cells"]) == [[0, 0, 8, 0.8], [0, 1, 2, 0.2], [1, 1, 5, 1.0]]
    assert found["mistakes"] == [{"true": "a", "predicted": "b", "count": 2, "of": 10}]
    assert confusion({}) is None


def test_what_is_no_cell_is_left_out():
    found = confusion({"labels": ["a", 2], "confusion": [[0, 0, 8], [0, 9, 2], [1, 1], [-1, 0, 3], [0, 1, None]]})
    assert found["cells"] == [[0, 0, 8, 1.0]]
    assert found["labels"] == ["a", "2"]


def test_classes_that_are_mistaken_for_each_other_stand_together():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(4), 5))
    cells = [(i, j, 50 if i == j else 5) for i in range(20) for j in range(20) if group[i] == group[j]]
    found = [group[number] for number in order(20, cells)]
    assert sum(a != b for a, b in zip(found, found[1:], strict=False)) == 3
    assert sorted(order(20, cells)) == list(range(20))


def test_classes_without_a_mistake_come_last():
    assert order(4, [(0, 0, 5), (1, 1, 5), (1, 3, 2), (2, 2, 5), (3, 3, 5)])[2:] == [0, 2]


def test_of_many_classes_the_worst_are_drawn():
    size = 3 * DRAWN
    cells = [[i, i, 9] for i in range(size)] + [[size - 1, 5, 4], [size - 2, 7, 3]]
    found = confusion({"labels": [f"c{i}" for i in range(size)], "confusion": cells})
    assert len(found["labels"]) == DRAWN
    assert {"c5", "c7", f"c{size - 1}", f"c{size - 2}"} <= set(found["labels"])
    assert found["all"] == size
    assert sorted(found["places"]) == list(range(DRAWN))
