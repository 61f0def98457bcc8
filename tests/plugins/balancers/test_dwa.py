from __future__ import annotations

import math

import pytest

from graftlm.core import registry


def test_weights_follow_the_fall_of_the_epoch_means(step):
    planned, balanced = step
    balancer = registry.make("balancer", {"use": "dwa", "temperature": 2.0})
    state = balancer.start(["a", "b"])
    epochs = [((4.0, 2.0), (2.0, 2.0)), ((1.5, 1.8), (1.5, 1.8)), ((9.0, 9.0),)]
    for epoch, steps in enumerate(epochs):
        plan = planned(epoch=epoch)
        weights = balancer.weights(["a", "b"], plan, state)
        if epoch < 2:
            assert weights == {"a": 1.0, "b": 1.0}
        for losses in steps:
            balancer.learn(balanced([[1.0], [1.0]], losses, state, plan))
    # means: 3 and 2, then 1.5 and 1.8
    powers = [math.exp(1.5 / 3 / 2), math.exp(1.8 / 2 / 2)]
    assert list(weights.values()) == pytest.approx([2 * p / sum(powers) for p in powers], abs=1e-9)


def test_the_state_comes_back_from_a_checkpoint(step):
    planned, balanced = step
    balancer = registry.make("balancer", "dwa")
    one, other = balancer.start(["a", "b"]), balancer.start(["a", "b"])
    for epoch, losses in enumerate([(4.0, 2.0), (1.0, 1.5)]):
        balancer.learn(balanced([[1.0], [1.0]], losses, one, planned(epoch=epoch)))
    other.load_state_dict(one.state_dict())
    plan = planned(epoch=2)
    assert balancer.weights(["a", "b"], plan, other) == balancer.weights(["a", "b"], plan, one) != {"a": 1.0, "b": 1.0}
