"""The solver against scikit-learn, and at its edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from graftlm.nn.logistic import solve, vertex


def blobs(rows: int, width: int, classes: int, seed: int = 0, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    centres = rng.normal(size=(classes, width))
    features = (centres[target] + spread * rng.normal(size=(rows, width))) * rng.uniform(0.1, 10, width) + 3
    return features.astype(np.float32), target


def probabilities(features: np.ndarray, solution) -> np.ndarray:
    logits = features @ solution.weight.T + solution.bias
    grown = np.exp(logits - logits.max(1, keepdims=True))
    return grown / grown.sum(1, keepdims=True)


@pytest.mark.parametrize("strength", [0.5, 10.0, 300.0])
@pytest.mark.parametrize("classes", [2, 6])
def test_equals_scikit_learn_at_the_same_strength(strength, classes):
    features, target = blobs(600, 12, classes)
    found = solve(features, target, classes, seed=0, strengths=(strength,))
    scaled = (features - features.mean(0)) / features.std(0)
    # two classes: the penalty on two softmax rows w and -w is twice that on their difference 2w, halved
    share = 2.0 if classes == 2 else 1.0
    reference = LogisticRegression(C=share / strength, tol=1e-8, max_iter=5000).fit(scaled.astype(np.float64), target)
    assert found.strength == strength
    assert np.abs(probabilities(features, found) - reference.predict_proba(scaled)).max() < 1e-3


def test_strength_is_the_one_that_generalises():
    noise, target = blobs(120, 200, 3, spread=8.0)
    clean, label = blobs(3000, 8, 3, spread=0.8)
    strong = solve(noise, target, 3, seed=0)
    weak = solve(clean, label, 3, seed=0)
    assert strong.strength > 5 * weak.strength
    assert len(strong.losses) >= 2
    tried = [strength for strength, _ in strong.losses]
    assert tried == sorted(tried, reverse=True)


def testvertex_of_a_parabola_is_found():
    points = [(10.0**x, (x - 1.3) ** 2 + 0.2) for x in (3, 2, 1, 0)]
    assert vertex(points) == pytest.approx(10**1.3)
    assert vertex(points[:2]) == 100.0


def test_constant_features_get_weight_zero_and_do_no_harm():
    features, target = blobs(300, 10, 3)
    padded = np.concatenate([features, np.full((300, 1), 7.0), np.zeros((300, 1))], axis=1).astype(np.float32)
    plain, found = (solve(f, target, 3, seed=0, strengths=(3.0,)) for f in (features, padded))
    assert not found.weight[:, 10:].any()
    assert np.allclose(probabilities(features, plain), probabilities(padded, found), atol=1e-4)


@pytest.mark.parametrize(("rows", "classes"), [(20, 2), (20, 7), (12, 12), (2, 2)])
def test_few_rows_and_classes_smaller_than_the_folds(rows, classes):
    rng = np.random.default_rng(1)
    target = np.arange(rows) % classes
    features = (np.eye(classes)[target] @ rng.normal(size=(classes, 40)) * 3 + rng.normal(size=(rows, 40))).astype("f4")
    found = solve(features, target, classes, seed=0)
    assert found.weight.shape == (classes, 40)
    assert np.isfinite(found.weight).all()
    assert np.mean((features @ found.weight.T + found.bias).argmax(1) == target) > 0.9


def test_a_class_without_rows_is_never_preferred():
    features, target = blobs(200, 5, 3)
    found = solve(features, np.where(target == 2, 3, target), 4, seed=0)
    logits = features @ found.weight.T + found.bias
    assert not (logits.argmax(1) == 2).any()
    assert np.isfinite(logits).all()


def test_many_classes_go_in_chunks(monkeypatch):
    features, target = blobs(900, 8, 5)
    whole = solve(features, target, 5, seed=0, strengths=(5.0,))
    monkeypatch.setattr("graftlm.nn.logistic._LOGITS", 500)  # 100 rows at once
    parts = solve(features, target, 5, seed=0, strengths=(5.0,))
    assert np.allclose(probabilities(features, whole), probabilities(features, parts), atol=1e-3)


def test_same_seed_same_solution():
    features, target = blobs(300, 6, 3)
    one, two = (solve(features, target, 3, seed=4) for _ in range(2))
    assert one.strength == two.strength
    assert np.array_equal(one.weight, two.weight)


def test_wrong_input_is_refused():
    features, target = blobs(30, 4, 3)
    with pytest.raises(ValueError, match=r"targets must lie in \[0, 2\)"):
        solve(features, np.full(30, 2), 2, seed=0)
    with pytest.raises(ValueError, match="expected features"):
        solve(features, target[:-1], 3, seed=0)
    features[0, 0] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        solve(features, target, 3, seed=0)
