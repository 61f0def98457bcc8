"""The user's own metrics: found by path, and wrong ones refused in plain words."""

from __future__ import annotations

import textwrap
import time

import numpy as np
import pytest

from graftlm.core.errors import UserError
from graftlm.stages.evaluating import own_metric


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")

    return write


def test_a_module_beside_the_current_folder_is_found(module):
    module("costs_one", "def cost(true, predicted):\n    return len(true)\ncost.higher_is_better = False\n")
    own = own_metric("costs_one:cost")
    assert own.name == "cost"
    assert not own.higher_is_better
    assert own.value(["a", "b"], ["a", "a"]) == 2.0


def test_the_interval_comes_from_resampled_rows():
    own = own_metric(lambda true, predicted: np.mean([a == b for a, b in zip(true, predicted, strict=True)]))
    found = own.score(["a"] * 200, ["a"] * 150 + ["b"] * 50, resamples=500, seed=0)
    assert found.value == 0.75
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 200), rel=0.2)


def test_a_slow_metric_goes_without_an_interval(monkeypatch):
    monkeypatch.setattr("graftlm.stages.evaluating.own._SECONDS", 0.5)
    own = own_metric(lambda true, predicted: time.sleep(0.02) or 0.5)
    found = own.score(["a"], ["a"], resamples=1000, seed=0)
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_a_metric_without_value_on_many_resamples_has_no_interval():
    own = own_metric(lambda true, predicted: 1.0 if len(set(true)) == 2 else float("nan"))
    found = own.score(["a"] * 30 + ["b"], ["a"] * 31, resamples=200, seed=0)
    assert (found.value, found.low) == (1.0, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("costs_two", r"named as 'package\.module:function'; got 'costs_two'"),
        ("costs_two:cist", r"has no function 'cist'\. Did you mean 'cost'\?"),
        ("costs_two:number", r"'number' is not a function but int"),
        ("no_such_module_here:cost", r"cannot be imported from .* \(ModuleNotFoundError: No module named"),
        ("costs_broken:cost", r"cannot be imported .*ZeroDivisionError"),
        (3, r"must be a function or 'package\.module:function'; got 3"),
    ],
)
def test_what_leads_nowhere_is_said(module, given, message):
    module("costs_two", "number = 3\ndef cost(true, predicted):\n    return 1\n")
    module("costs_broken", "1 / 0\n")
    with pytest.raises(UserError, match=message):
        own_metric(given)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda true, predicted: "0.5", r"must return a number; it returned str: '0\.5'"),
        (lambda true, predicted: None, "must return a number; it returned NoneType"),
        (lambda true, predicted: float("nan"), "must return a finite number; it returned nan"),
        (lambda true, predicted: true[9], r"failed on 1 rows with IndexError.*f\(true: list, predicted: list\)"),
        (lambda true: 1.0, "failed on 1 rows with TypeError"),
    ],
)
def test_wrong_values_are_refused(function, message):
    with pytest.raises(UserError, match=message):
        own_metric(function).score(["a"], ["a"], resamples=100, seed=0)
