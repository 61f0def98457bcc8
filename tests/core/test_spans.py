from __future__ import annotations

import json

import pytest

from graftlm.core.spans import read

TEXT = "彭小军认为，台湾银行走的是台湾的路"


@pytest.mark.parametrize(
    "given",
    [
        [{"start": 0, "end": 3, "label": "name"}, {"start": 6, "end": 8, "label": "address"}],
        [{"start": 6, "end": 8, "label": "address", "text": "台湾"},
         {"start": 0, "end": 3, "label": "name", "text": None}],
        [[0, 3, "name"], [6, 8, "address"]],
        json.dumps([[0, 3, "name"], [6, 8, "address"]]),
        [{"start_idx": 0, "end_idx": 2, "type": "name", "entity": "彭小军"},
         {"start_idx": 6, "end_idx": 7, "type": "address", "entity": "台湾"}],
        {"name": {"彭小军": [[0, 2]]}, "address": {"台湾": [[6, 7]]}, "movie": None},
        [{"start": 0, "end": 3, "labels": ["name"]}, {"from": 6, "to": 8, "entity": "address"}],
        [{"开始": 0, "结束": 3, "类型": "name"}, {"起始位置": 6, "结束位置": 7, "标签": "address", "文本": "台湾"}],
        [{"開始": 0, "結束": 3, "類型": "name"}, {"Start Offset": 6, "end-offset": 8, "類別": "address"}],
    ],
)  # fmt: skip
def test_the_shapes_that_people_write_mean_the_same(given):
    assert read(given, TEXT) == [(0, 3, "name"), (6, 8, "address")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[0, 30, "x"]], "outside the text, which has 17 characters"),
        ([[3, 3, "x"]], "is empty; an end is the place behind the last character"),
        ([[-1, 3, "x"]], "outside the text"),
        ([[0, 3, "x"], [2, 4, "y"]], "overlap"),
        ([{"start": 0, "end": 3, "label": "x", "text": "台湾"}], "said to be '台湾'"),
        ([{"start": 0, "label": "x"}], "start, end and label"),
        ([[0, "b", "x"]], "whole numbers"),
        (["name"], "start, end and label"),
    ],
)
def test_what_cannot_be_is_named(given, said):
    with pytest.raises(ValueError, match=said):
        read(given, TEXT)


def test_the_same_span_twice_is_one():
    assert read([[0, 3, "name"], [0, 3, "name"]], TEXT) == [(0, 3, "name")]


@pytest.mark.parametrize(
    ("text", "span", "place"),
    [
        ("i want to go marienplatz", {"start": 4, "stop": 4, "entity": "S", "text": "marienplatz"}, (13, 24)),
        ("the u6 from garching?", {"start": 3, "stop": 3, "entity": "S", "text": "garching"}, (12, 20)),
        ("to New York now", {"start": 1, "end": 3, "label": "S", "text": "New York"}, (3, 11)),
        ("去12号线和7号线", {"start": 5, "end": 7, "label": "S", "text": "7号线"}, (6, 9)),
    ],
)
def test_places_of_words_are_understood_where_the_spans_own_text_says_so(text, span, place):
    assert read([span], text) == [(*place, "S")]
    with pytest.raises(ValueError, match="said to be 'x'"):
        read([span | {"text": "x"}], text)
