"""Geometry of the charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.report.charts import HEIGHT, WIDTH, _axis, bars, bars_of, learning, lines, segments
from graftlm.report.words import both

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(values, st.booleans())
def test_ticks_are_few_even_and_enclose_the_values(found, zero):
    axis = _axis(found, zero=zero)
    span = axis[-1] - axis[0]
    assert 3 <= len(axis) <= 8
    assert axis[0] <= min(found) + 1e-6 * span
    assert axis[-1] >= max(found) - 1e-6 * span
    assert all(b - a == pytest.approx(span / (len(axis) - 1)) for a, b in zip(axis, axis[1:], strict=False))


def test_bars_are_shares_of_a_hundred(metrics):
    found = bars(metrics)
    assert [bar["name"].en for bar in found] == ["this model", "tfidf", "majority"]
    assert found[0]["width"] == 93.1
    assert (found[0]["value"], found[0]["interval"]) == ("93.1", "[92.1, 94.1]")
    assert found[2]["low"] == pytest.approx(0.3)


def test_bars_of_a_loss_are_shares_of_the_largest(metrics):
    metrics["primary"] |= {"name": "log_loss", "percent": False}
    found = {bar["name"].en: bar["width"] for bar in bars(metrics)}
    assert found["majority"] == pytest.approx(100 * 4.3 / 4.32, abs=0.01)
    assert found["this model"] < found["tfidf"] < found["majority"]


def test_bars_below_zero_lie_left_of_it():
    found = bars_of(
        [(both("a"), {"value": 0.6}), (both("b"), {"value": -0.2, "low": -0.3, "high": -0.1})], percent=False
    )
    assert found[0]["left"] == found[1]["left"] + found[1]["width"] == pytest.approx(100 * 0.3 / 0.9, abs=0.01)
    assert found[1]["low"] == 0.0


def test_bars_without_a_value_are_left_out():
    scores = [
        (both("a"), {"value": float("nan")}),
        (both("b"), {}),
        (both("c"), {"value": None}),
        (both("d"), {"value": 1}),
    ]
    assert [bar["name"].en for bar in bars_of(scores, percent=True)] == ["d"]


def test_learning_curves_lie_inside_their_fields():
    progress = [{"step": i, "loss": 2 / (1 + i), "score": i / 10 if i % 2 else None} for i in range(1, 11)]
    progress.append({"step": 11, "loss": float("nan"), "score": None})
    loss, score = learning(progress, "accuracy %", percent=True)
    points = loss["lines"][0]["points"]
    assert len(points) == 10
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y, _ in points)
    assert points[0][1] < points[-1][1]  # the loss falls: further down on the page
    assert score["lines"][0]["points"][-1][2] == "9: 90.0"
    assert [tick["text"] for tick in score["y_ticks"]][-1] == "100"
    assert len(score["lines"][0]["rows"]) == 5


def test_long_curves_are_thinned():
    progress = [{"step": i, "loss": 1.0 + i % 2, "score": None} for i in range(100_000)]
    (loss,) = learning(progress, "accuracy", percent=False)
    assert len(loss["lines"][0]["points"]) <= 301
    assert loss["lines"][0]["points"][-1][2] == "99,999: 2"


def test_no_curve_without_points():
    assert learning([], "accuracy", percent=True) == []
    assert learning([{"step": 1, "loss": 0.1, "score": None}, {}], "accuracy", percent=True) == []
    assert lines([("a", [None, [1], ["x", None], 3, [True, 2]])], x="x", y="y") is None


def test_words_may_stand_on_the_axis():
    found = lines([("a", [["Mon", 1], ["Tue", 2]]), ("b", [["Tue", 4]])], x="day", y="n")
    assert [tick["text"] for tick in found["x_ticks"]] == ["Mon", "Tue"]
    assert found["lines"][1]["points"][0][2] == "Tue: 4"


def test_segments_are_shares_of_the_whole():
    found = segments({"read": 1.0, "baseline tfidf": 3.0, "x": None, "y": float("nan"), "own stage": 4})
    assert [one["share"] for one in found] == [12.5, 37.5, 50.0]
    assert found[1]["name"].zh == "基线 tfidf"
    assert found[2]["name"].zh == "own stage"
