"""Refitting: two splits become one."""

from __future__ import annotations

import logging

import pyarrow as pa

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.stages.training.refitting import joined

TASK = registry.make("task", "classification")
SPACE = Space(("card", "money", "trip"), 3)


def test_all_rows_of_both_in_their_order(make_rows):
    first, second = make_rows(6), make_rows(3, name="valid")
    both = joined(first, second, TASK, SPACE)
    assert both.column("text") == first.column("text") + second.column("text")
    assert (both.name, both.target, len(both)) == ("train", "label", 9)
    assert both.fingerprint not in (first.fingerprint, second.fingerprint)


def test_labels_that_training_never_saw_are_left_out_and_told(make_rows, caplog):
    with caplog.at_level(logging.INFO, "graftlm"):
        both = joined(make_rows(6), make_rows(6), TASK, Space(("card", "trip"), 2))
    assert both.column("label")[6:] == ["card", "trip", "card", "trip"]
    assert "2 validation rows are left out" in caplog.text


def test_where_there_are_no_labels_all_rows_stay(make_rows):
    assert len(joined(make_rows(6), make_rows(6), TASK, Space())) == 12


def test_lists_without_any_value_join_the_others(make_rows):
    task = registry.make("task", "multilabel")
    space = Space(("a", "b"), 2, {"least": 0})

    def labelled(rows, labels):
        table = rows.table.set_column(rows.table.column_names.index("label"), "label", pa.array(labels))
        return Rows(rows.name, table, "label", "0")

    both = joined(labelled(make_rows(3), [["a"], ["b"], []]), labelled(make_rows(2), [[], []]), task, space)
    assert both.column("label") == [["a"], ["b"], [], [], []]
