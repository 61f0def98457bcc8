"""Tables take any JSON values."""

from __future__ import annotations

import math

from graftlm.report import tables


def shown(found):
    return [[str(one["text"].en) for one in row] for row in found["rows"]]


def test_shares_of_classes_are_told_in_percent_and_other_numbers_are_not():
    details = {"per_class": [{"label": "a", "f1": 0.5, "rows": 3, "error": 2.5}, {"label": "b", "f1": None, "rows": 0}]}
    found = tables.per_class(details, "classes")
    assert [head["title"].en for head in found["columns"]] == ["class", "F1 %", "rows", "error"]
    assert shown(found) == [["a", "50.0", "3", "2.500"], ["b", "–", "0", "–"]]
    assert [row[1]["share"] for row in found["rows"]] == [50.0, None]
    assert tables.per_class({"per_class": None}, "x") is None


def test_a_tasks_own_tables_may_hold_anything():
    given = [
        {"title": "t", "columns": ["a", "b"], "rows": [[1, None], [math.nan, [1, "x"]], ["only"], "text", {"b": True}]},
        {"rows": [{"x": 1, "y": 1e-7}], "about": "below"},
        {"rows": []},
        None,
        {"title": "no rows"},
    ]
    first, second = tables.own({"tables": given})
    assert shown(first) == [["1", "–"], ["–", "1, x"], ["only", "–"], ["text", "–"], ["–", "yes"]]
    assert shown(second) == [["1", "1e-07"]]
    assert second["about"].en == "below"


def test_large_tables_are_cut_and_say_so():
    (found,) = tables.own({"tables": [{"title": "t", "columns": ["a"], "rows": [[n] for n in range(5000)]}]})
    assert len(found["rows"]) == tables.ROWS
    assert found["hidden"] == 5000 - tables.ROWS
    many = tables.own({"tables": [{"columns": list("abcdefgh"), "rows": [list(range(8))] * 500}] * 50})
    assert sum(len(one["rows"]) * 8 for one in many) <= tables.CELLS + 8


def test_long_texts_are_cut():
    assert len(tables.words("x" * 10_000)) == tables.TEXT
    assert tables.words({"a": [1, 2.5]}) == "a: 1, 2.500"
