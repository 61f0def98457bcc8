from __future__ import annotations

import numpy as np
import pytest

from graftlm.core import registry


def weights_of(step, rows, **options):
    _, balanced = step
    found = registry.make("balancer", {"use": "nash_mtl", "longest": 0, "ridge": 1e-12, **options}).weights_after(
        balanced(rows.tolist(), (1.0,) * len(rows))
    )
    return np.array(list(found.values()))


@pytest.mark.parametrize(("seed", "tasks"), [(0, 2), (1, 3), (2, 5), (3, 8)])
def test_it_solves_g_a_equals_one_over_a(step, seed, tasks):
    # claim 3.1 of the paper: a > 0 and (G G^T a)_k a_k = 1
    rows = np.random.default_rng(seed).normal(size=(tasks, 20)) * np.logspace(-2, 2, tasks)[:, None]
    a = weights_of(step, rows)
    assert (a > 0).all()
    assert (rows @ rows.T @ a) * a == pytest.approx(np.ones(tasks), abs=1e-6)


def test_how_a_loss_is_scaled_does_not_matter(step):
    rows = np.random.default_rng(4).normal(size=(2, 6))
    step_of = weights_of(step, rows) @ rows
    scaled = rows * np.array([[1.0], [1000.0]])
    assert weights_of(step, scaled) @ scaled == pytest.approx(step_of, rel=1e-5)


def test_orthogonal_gradients_have_a_closed_form(step):
    assert weights_of(step, np.diag([2.0, 0.5])) == pytest.approx([0.5, 2.0], rel=1e-8)


def test_the_step_is_cut_to_its_longest(step):
    rows = np.random.default_rng(5).normal(size=(3, 6))
    assert np.linalg.norm(weights_of(step, rows, longest=0.5) @ rows) == pytest.approx(0.5)


def test_gradients_that_depend_on_each_other_give_finite_weights(step):
    rows = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert np.isfinite(weights_of(step, rows, ridge=1e-6, longest=1.0)).all()
