from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graftlm.contracts.balancer import Plan
from graftlm.core import registry


@pytest.mark.parametrize(("cap", "expected"), [(None, 0.9), (100, 0.5)])
def test_tasks_are_drawn_by_their_rows(cap, expected):
    balancer, rng = registry.make("balancer", {"use": "proportional", "cap": cap}), np.random.default_rng(0)
    drawn = Counter(balancer.plan(Plan({"a": 900, "b": 100}, n, 0.0, 0, rng))[0] for n in range(4000))
    # three standard errors of a share of 4,000 draws
    assert drawn["a"] / 4000 == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 4000) ** 0.5)
