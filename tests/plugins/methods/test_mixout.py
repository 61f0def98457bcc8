"""Mixout against its formula with the masks it drew, and the mean and variance that it must keep."""

from __future__ import annotations

import pytest
import torch

from graftlm.contracts.ground import Ground
from graftlm.core import registry, seeds
from graftlm.nn.masks import random_masks


def begun(made, **options):
    """Return an adaptation whose weights are away from the pretrained ones, which are returned beside it."""
    adaptation = registry.make("method", {"use": "mixout", **options}).apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space))
    start = made.weights()
    with torch.no_grad():
        for number, parameter in enumerate(made.model.module.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(0.1 * noise)
    return adaptation, start


def test_value_and_gradient_are_the_papers(prepare, inner_of, halves, gradient_of, task_gradient):
    made = prepare("tiny", dropout=0.0)
    adaptation, start = begun(made, probability=0.75)
    before = made.weights()
    _, found = gradient_of(made, adaptation.wrap(inner_of(made)), halves(made))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.weights().items())
    linear = [
        f"{name}.weight"
        for name, part in made.model.module.named_modules()
        if isinstance(part, torch.nn.Linear) and name != made.model.head
    ]
    parameters = [made.model.module.get_parameter(name) for name in linear]
    masks = random_masks(parameters, 0.25, seeds.child(0, "mixout", 0))
    with torch.no_grad():  # equation 5: (M * w + (1 - M) * w0 - p * w0) / (1 - p), with M of zeros and ones
        for name, parameter, mask in zip(linear, parameters, masks, strict=True):
            ones = (mask > 0).float()
            mixed = (ones * before[name] + (1 - ones) * start[name] - 0.75 * start[name]) / 0.25
            parameter.copy_(mixed)
    expected, _ = task_gradient(made)
    for name, gradient in expected.items():
        mask = masks[linear.index(name)] if name in linear else 1.0
        torch.testing.assert_close(found[name], gradient * mask, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_masks_have_mean_one_and_the_variance_of_a_scaled_coin(share):
    kept = round(share * 256) / 256
    mask = random_masks([torch.zeros(1000, 300)], share, 7)[0]
    assert abs(float((mask > 0).float().mean()) - kept) < 0.003
    assert float(mask.max()) == pytest.approx(1 / kept)
    assert abs(float(mask.mean()) - 1) < 0.02
    assert float(mask.var()) == pytest.approx((1 - kept) / kept, rel=0.05)
    assert not torch.equal(mask, random_masks([torch.zeros(1000, 300)], share, 8)[0])


def test_dropout_is_off_while_training_and_back_at_the_end(prepare):
    made = prepare("tiny", dropout=0.3)
    rates = [part.p for part in made.model.module.modules() if isinstance(part, torch.nn.Dropout)]
    adaptation = registry.make("method", "mixout").apply(made.model, made.setting)
    assert {part.p for part in made.model.module.modules() if isinstance(part, torch.nn.Dropout)} == {0.0}
    made.train(steps=2, job={"adaptations": [adaptation]})
    assert [part.p for part in made.model.module.modules() if isinstance(part, torch.nn.Dropout)] == rates


def test_what_cannot_work_is_refused(prepare):
    record = registry.make("method", "mixout")
    made = prepare("tiny", methods=("mixout", "lora"))
    assert "'lora'" in record.refuses(made.model, made.setting)
    made = prepare("tiny", losses=("r_drop",))
    assert "dropout: keep" in record.refuses(made.model, made.setting)
    kept = registry.make("method", {"use": "mixout", "dropout": "keep"})
    assert kept.refuses(made.model, made.setting) is None
