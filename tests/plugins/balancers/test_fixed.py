from __future__ import annotations

from graftlm.core import registry


def test_weights_are_those_given_and_one_elsewhere(step):
    planned, _ = step
    balancer = registry.make("balancer", {"use": "fixed", "given": {"b": 2.5}})
    assert balancer.weights(["a", "b"], planned(), None) == {"a": 1.0, "b": 2.5}
    assert balancer.plan(planned()) == ["a", "b"]


def test_what_cannot_be_is_refused_with_its_reason():
    def refusal(given, names=("a", "b")):
        return registry.make("balancer", {"use": "fixed", "given": given}).refuses(names)

    assert refusal({}) is None
    assert "one task" in refusal({}, ["a"])
    assert "'slots'" in refusal({"slots": 1})
    assert "-1" in refusal({"a": -1})
    assert "nothing would train" in refusal({"a": 0, "b": 0})
