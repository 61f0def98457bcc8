from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graftlm.contracts.balancer import Plan
from graftlm.core import registry


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, 0.8), (2.0, 2 / 3), (1000.0, 0.5)])
def test_tasks_are_drawn_by_a_root_of_their_rows(temperature, expected):
    # 400 and 100 rows: roots 20 and 10, so 2/3 at T = 2
    balancer = registry.make("balancer", {"use": "temperature", "temperature": temperature})
    rng = np.random.default_rng(1)
    drawn = Counter(balancer.plan(Plan({"a": 400, "b": 100}, n, 0.0, 0, rng))[0] for n in range(4000))
    assert drawn["a"] / 4000 == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 4000) ** 0.5)
