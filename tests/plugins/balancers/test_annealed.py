from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graftlm.contracts.balancer import Plan
from graftlm.core import registry


@pytest.mark.parametrize(("done", "power"), [(0.0, 1.0), (0.5, 0.6), (1.0, 0.2)])
def test_the_power_falls_over_the_run(done, power):
    # the paper's a = 1 - 0.8 (e - 1) / (E - 1)
    expected = 1000**power / (1000**power + 1)
    balancer, rng = registry.make("balancer", "annealed"), np.random.default_rng(2)
    drawn = Counter(balancer.plan(Plan({"a": 1000, "b": 1}, n, done, 0, rng))[0] for n in range(4000))
    assert drawn["a"] / 4000 == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 4000) ** 0.5 + 1e-9)
