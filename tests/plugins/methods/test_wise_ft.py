"""WiSE-FT against the mean of two runs' ends."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_the_base_is_the_mean_and_the_head_as_trained(prepare, share):
    plain, wise = prepare("tiny"), prepare("tiny")
    start = plain.weights()
    full = registry.make("method", "full").apply(plain.model, plain.setting)
    plain.train(steps=4, job={"adaptations": [full]})
    record = registry.make("method", {"use": "wise_ft", "share": share})
    wise.train(steps=4, job={"adaptations": [record.apply(wise.model, wise.setting)]})
    trained, found = plain.weights(), wise.weights()
    assert any(not torch.equal(start[name], trained[name]) for name in start)
    for name, tensor in found.items():
        if name.startswith(f"{plain.model.head}."):
            assert torch.equal(tensor, trained[name]), name
        elif name.startswith(f"{plain.model.base}.") and tensor.is_floating_point():
            expected = (1 - share) * start[name] + share * trained[name]
            torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)


def test_adapters_are_folded_in_before_the_mean(prepare):
    alone, both = prepare("tiny"), prepare("tiny")
    start = alone.weights()
    lora = registry.make("method", {"use": "lora", "rank": 2})
    alone.train(steps=4, job={"adaptations": [lora.apply(alone.model, alone.setting)]})
    wise = registry.make("method", {"use": "wise_ft", "share": 0.5})
    steps = [method.apply(both.model, both.setting) for method in (wise, lora)]
    both.train(steps=4, job={"adaptations": steps})
    name = f"{lora.layers(both.model)[0]}.weight"
    middle = (start[name] + alone.weights()[name]) / 2
    torch.testing.assert_close(both.weights()[name], middle, atol=1e-6, rtol=1e-5)
    assert not torch.equal(middle, start[name])
