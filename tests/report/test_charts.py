"""Geometry of the charts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.report.charts import HEIGHT, WIDTH, _axis, bars, confusion, curve

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
    assert [bar["name"] for bar in found] == ["this model", "tfidf", "majority"]
    assert found[0]["width"] == 93.1
    assert found[0]["text"] == "93.1 [92.1, 94.1]"
    assert found[2]["low"] == pytest.approx(0.3)


def test_bars_of_a_loss_are_shares_of_the_largest(metrics):
    metrics["primary"] |= {"name": "log_loss", "percent": False}
    found = {bar["name"]: bar["width"] for bar in bars(metrics)}
    assert found["majority"] == pytest.approx(100 * 4.3 / 4.32, abs=0.01)
    assert found["this model"] < found["tfidf"] < found["majority"]


def test_the_curve_lies_inside_its_field():
    progress = [{"step": i, "loss": 2 / (1 + i), "score": i / 10 if i % 2 else None} for i in range(1, 11)]
    progress.append({"step": 11, "loss": float("nan"), "score": None})
    found = curve(progress, percent=True)
    points = [tuple(map(float, point.split(","))) for point in found["loss"][1:].split("L")]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert points[0][1] < points[-1][1]  # the loss falls: further down on the page
    assert found["dots"][-1]["text"] == "step 9: 90.0"
    assert len({(dot["x"], dot["y"]) for dot in found["dots"]}) == 5


def test_long_curves_are_thinned():
    progress = [{"step": i, "loss": 1.0 + i % 2, "score": None} for i in range(100_000)]
    assert curve(progress, percent=False)["loss"].count("L") < 1000


def test_no_curve_without_points():
    assert curve([], percent=True) is None
    assert curve([{"step": 1, "loss": 0.1, "score": None}], percent=True) is None


def test_confusion_cells_carry_their_share_of_the_true_class():
    found = confusion({"labels": ["a", "b"], "confusion": [[0, 0, 8], [0, 1, 2], [1, 1, 5]]})
    assert sorted(found["cells"]) == [[0, 0, 8, 0.8], [0, 1, 2, 0.2], [1, 1, 5, 1.0]]
    assert found["mistakes"] == [{"true": "a", "predicted": "b", "count": 2, "of": 10}]
    assert found["hidden"] == 0
    assert confusion({}) is None
