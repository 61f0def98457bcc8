"""Every sequence once, longest first, within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graftlm.prediction.planning import plan


@given(st.lists(st.integers(0, 600), max_size=200), st.integers(1, 3000), st.integers(1, 40))
def test_plan(lengths: list[int], budget: int, most: int) -> None:
    batches = plan(np.array(lengths, dtype=np.int64), budget, most=most)
    assert sorted(int(n) for batch in batches for n in batch) == list(range(len(lengths)))
    tops = []
    for batch in batches:
        longest = max(lengths[n] for n in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
        assert 1 <= len(batch) <= most
        tops.append(longest)
    assert tops == sorted(tops, reverse=True)
