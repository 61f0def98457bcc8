"""What the tests of balancers share: gradients by hand, and the balance of a step made from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from graftlm.contracts.balancer import Balance, Plan


def planned(step: int = 0, *, sizes: Any = None, done: float = 0.0, epoch: int = 0, seed: int = 0) -> Plan:
    return Plan(sizes or {"a": 10, "b": 10}, step, done, epoch, np.random.default_rng(seed))


def balanced(
    gradients: Any, losses: Any = (1.0, 1.0), state: Any = None, plan: Any = None, given: Any = None
) -> Balance:
    """Return the balance of a step with the rows of `gradients` (K, P)."""
    rows = torch.tensor(gradients, dtype=torch.float64)
    names = "abcdefgh"[: len(rows)]
    return Balance(
        dict(zip(names, losses, strict=True)), plan or planned(), state, given or {}, gram=lambda: rows @ rows.T
    )


@pytest.fixture
def step() -> Any:
    """Return the functions that make a plan and a balance."""
    return planned, balanced
