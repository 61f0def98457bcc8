"""Figures as text."""

from __future__ import annotations

import pytest

from graftlm.report.figures import contenders, duration, number, title, with_interval


@pytest.mark.parametrize(
    ("value", "percent", "shown"),
    [
        (0.93114, True, "93.1"),
        (0.2768, False, "0.277"),
        (12345.6, False, "12,346"),
        (None, True, "–"),
        (-0.004, False, "-0.004"),
    ],
)
def test_numbers(value, percent, shown):
    assert number(value, percent) == shown


def test_intervals():
    full = {"value": 0.931, "low": 0.922, "high": 0.94, "percent": True}
    assert with_interval(full) == "93.1 [92.2, 94.0]"
    assert with_interval(full, sign=True) == "93.1 % [92.2, 94.0]"
    assert with_interval({"value": 0.5, "low": None, "high": None}) == "0.500"


def test_titles():
    names = ("accuracy", "macro_f1", "mcc", "log_loss")
    assert [title(name) for name in names] == ["accuracy", "macro F1", "MCC", "log loss"]
    assert title("macro_f1", {"percent": True}) == "macro F1 %"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_baselines_stand_from_best_to_worst(metrics):
    assert list(contenders(metrics, "test")) == ["this model", "tfidf", "majority"]
    metrics["primary"]["name"] = "log_loss"
    assert list(contenders(metrics, "test")) == ["this model", "tfidf", "majority"]
