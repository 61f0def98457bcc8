from __future__ import annotations

import math

import pytest

from graftlm.core import registry


def test_it_finds_the_weights_that_score_best_and_stops_bad_trials_early():
    tried = []

    def attempt(weights, fold, folds, rungs):
        tried.append(weights)
        for rung, steps in enumerate(rungs, 1):
            # best where b weighs four times a; later rungs tell the same story
            yield -((math.log(weights["b"] / weights["a"]) - math.log(4)) ** 2) + 0.01 * rung + 0.001 * fold
            tried.append(steps)

    balancer = registry.make("balancer", {"use": "cross_validated", "folds": 2, "trials": 30, "steps": 40})
    found = balancer.search(["a", "b"], attempt, seed=0)
    assert found.weights(["a", "b"], None, None) == found.found
    assert found.search(["a", "b"], attempt, seed=1) is found
    assert found.found["b"] / found.found["a"] == pytest.approx(4, rel=0.35)
    assert sum(found.found.values()) == pytest.approx(2)
    assert tried[0] == {"a": 1.0, "b": 1.0}  # equal weights are among the trials
    assert tried.count(40) < 2 * 30  # not every trial ran to its end


def test_the_search_is_a_function_of_the_seed():
    def attempt(weights, fold, folds, rungs):
        for _ in rungs:
            yield -abs(weights["a"] - 0.7)

    balancer = registry.make("balancer", {"use": "cross_validated", "trials": 6})
    one, same, other = (balancer.search(["a", "b"], attempt, seed=seed).found for seed in (1, 1, 2))
    assert one == same != other
