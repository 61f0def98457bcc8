"""What holds for every score: separable features beat noise; class names and rotations do not matter."""

from __future__ import annotations

import numpy as np
import pytest

from graftlm.contracts.transferability import View
from graftlm.core import registry


def view(spread, seed=0):
    rng = np.random.default_rng(seed)
    target = np.repeat(np.arange(3), 40)
    centres = spread * rng.normal(size=(3, 8))
    return View((centres[target] + rng.normal(size=(120, 8))).astype("float64"), target)


def test_separable_features_beat_noise(transferability_name):
    score = registry.make("transferability", transferability_name)
    assert score(view(6.0)) > score(view(0.0))


def test_class_names_do_not_matter(transferability_name):
    score = registry.make("transferability", transferability_name)
    plain = view(2.0)
    renamed = View(plain.features, np.array([2, 0, 1])[plain.target])
    assert score(renamed) == pytest.approx(score(plain), rel=1e-6, abs=1e-9)


def test_rotations_do_not_matter(transferability_name):
    score = registry.make("transferability", transferability_name)
    plain = view(2.0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    assert score(View(plain.features @ turn, plain.target)) == pytest.approx(score(plain), rel=1e-4, abs=1e-6)
