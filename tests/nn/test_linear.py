"""Linear solutions by the form of the target, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV

from graftlm.nn import linear, logistic

RNG = np.random.default_rng(0)
FEATURES = (RNG.normal(size=(300, 8)) * RNG.uniform(0.5, 5, 8) + 2).astype(np.float32)
SCALED = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)


def test_several_classes_equal_one_binary_regression_each():
    truth = SCALED @ RNG.normal(size=(8, 3)) + RNG.normal(size=(300, 3)) > 0.5
    found = linear.several(FEATURES, truth, seed=0, strengths=(5.0,))
    logits = FEATURES @ found.weight.T + found.bias
    for label in range(3):
        model = LogisticRegression(C=1 / 5.0, tol=1e-8, max_iter=5000).fit(SCALED, truth[:, label])
        assert logits[:, label] == pytest.approx(model.decision_function(SCALED), abs=2e-3)
    assert linear.several(FEATURES, truth, seed=0).strength < 100.0


def test_noise_wants_a_strong_prior_and_constant_classes_stay_finite():
    noise = RNG.random((300, 2)) < 0.5
    noise[:, 1] = False
    found = linear.several(FEATURES, noise, seed=0)
    assert found.strength >= 30.0
    assert np.isfinite(found.weight).all()
    assert (FEATURES @ found.weight[1] + found.bias[1] < -3).all()


def test_quantities_equal_ridge_by_leave_one_out():
    wanted = SCALED @ RNG.normal(size=(8, 2)) + 3 * RNG.normal(size=(300, 2)) + 10
    found = linear.ridge(FEATURES, wanted)
    reference = RidgeCV(alphas=linear.RIDGE_STRENGTHS).fit(SCALED.astype(np.float64), wanted)
    assert found.strength == pytest.approx(reference.alpha_)
    assert FEATURES @ found.weight.T + found.bias == pytest.approx(reference.predict(SCALED), abs=1e-3)


def test_the_form_of_the_target_says_which():
    classes = RNG.integers(0, 3, 300)
    assert linear.solve(FEATURES, classes, 3, seed=0).strength == logistic.solve(FEATURES, classes, 3, seed=0).strength
    assert linear.solve(FEATURES, np.eye(3, dtype=bool)[classes], 3, seed=0).weight.shape == (3, 8)
    assert linear.solve(FEATURES, SCALED[:, :2], 2, seed=0).weight.shape == (2, 8)
    assert linear.solvable(3)
    assert linear.solvable(np.zeros(2, bool))
    assert not linear.solvable([1, 2])
    assert not linear.solvable((0, 5))
    with pytest.raises(ValueError, match="finite"):
        linear.ridge(np.full((3, 2), np.nan), np.zeros((3, 1)))
