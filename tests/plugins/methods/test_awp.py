"""AWP against autograd at weights perturbed by hand."""

from __future__ import annotations

import torch

from graftlm.core import registry


def test_it_is_the_gradient_at_weights_moved_by_a_share_of_their_norm(
    prepare, inner_of, halves, gradient_of, task_gradient
):
    made = prepare("tiny", dropout=0.0)
    adaptation = registry.make("method", {"use": "awp", "gamma": 0.02}).apply(made.model, made.setting)
    before = made.weights()
    _, found = gradient_of(made, adaptation.wrap(inner_of(made)), halves(made))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.weights().items())
    plain, _ = task_gradient(made)
    with torch.no_grad():
        for name, gradient in plain.items():
            weight = made.model.module.get_parameter(name)
            if weight.ndim > 1:
                weight.add_(0.02 * weight.norm() * gradient / (gradient.norm() + 1e-12))
    expected, _ = task_gradient(made)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


def test_a_working_vocabulary_changes_nothing(prepare):
    # the table's norm is that of all rows, whichever of them train
    made, small = prepare("tiny", dropout=0.0), prepare("tiny", dropout=0.0)
    for one, working in ((made, False), (small, True)):
        adaptation = registry.make("method", {"use": "awp", "gamma": 0.05}).apply(one.model, one.setting)
        one.train(steps=4, working_vocabulary=working, job={"adaptations": [adaptation]})
    for name, tensor in made.weights().items():
        torch.testing.assert_close(small.weights()[name], tensor, atol=1e-4, rtol=1e-3)


def test_before_its_share_a_step_is_plain(prepare):
    plain, made = prepare("tiny"), prepare("tiny")
    record = registry.make("method", {"use": "awp", "start": 0.9})
    plain.train(steps=4, job={"adaptations": [registry.make("method", "full").apply(plain.model, plain.setting)]})
    made.train(steps=4, job={"adaptations": [record.apply(made.model, made.setting)]})  # 8 are planned
    for name, tensor in plain.weights().items():
        assert torch.equal(made.weights()[name], tensor), name
