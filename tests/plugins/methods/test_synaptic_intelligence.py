"""Synaptic intelligence: the path and what is left, summed here from gradients and weights, and the pull."""

from __future__ import annotations

import pytest
import torch

from graftlm.contracts.ground import Earlier, Ground
from graftlm.contracts.method import Adaptation
from graftlm.core import registry
from graftlm.core.errors import UserError


@pytest.mark.parametrize("working", [False, True])
def test_what_is_left_is_the_papers_ratio(prepare, working):
    made = prepare("tiny")
    record = registry.make("method", {"use": "synaptic_intelligence", "damping": 0.01})
    name = "encoder.encoder.layer.0.output.dense.weight"
    weight = made.model.module.get_parameter(name)
    start, seen, left = made.weights()[name], [], {}

    def watch(inner):
        def gradient(batches):
            loss = inner(batches)
            seen.append([weight.grad.double().clone(), weight.detach().double().clone()])
            return loss

        return gradient

    def after(update):
        seen[-1].append(weight.detach().double().clone())

    job = {
        "adaptations": [record.apply(made.model, made.setting), Adaptation(wrap=watch, after_update=after)],
        "left": left,
    }
    made.train(steps=6, clip=0.0, working_vocabulary=working, job=job)
    path = -sum(gradient * (new - old) for gradient, old, new in seen)
    apart = (made.weights()[name] - start).double()
    expected = path.clamp_min(0) / (apart**2 + 0.01)
    found = left["synaptic_intelligence/base.encoder.layer.0.output.dense.weight"]
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-4)
    assert found.any()
    table = left["synaptic_intelligence/base.embeddings.word_embeddings.weight"]
    assert table.shape == made.weights()["encoder.embeddings.word_embeddings.weight"].shape
    assert not any("head" in each for each in left)


def standing(made, left):
    import copy

    old = copy.deepcopy(made.model.module)
    model = type(made.model)(old, made.model.tokenizer, made.model.card, "pooled", "encoder", "head", "")
    earlier = Earlier(model, made.task, made.space, 128, left=lambda: left)
    return Ground(made.model, made.task, made.space, earlier=lambda run: earlier)


def test_the_pull_is_the_gradient_of_the_penalty(prepare, inner_of, halves, gradient_of):
    made = prepare("tiny", dropout=0.0)
    rel = "encoder.layer.0.output.dense.weight"
    weight = made.model.module.get_parameter(f"encoder.{rel}")
    worth = torch.rand(weight.shape)
    record = registry.make("method", {"use": "synaptic_intelligence", "run": "runs/a", "strength": 0.3})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(standing(made, {f"synaptic_intelligence/base.{rel}": worth}))
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    inner = inner_of(made)
    _, plain = gradient_of(made, inner, halves(made))
    _, found = gradient_of(made, adaptation.wrap(inner), halves(made))
    for name, gradient in plain.items():
        pull = 2 * 0.3 * worth * (weight.detach() - start) if name == f"encoder.{rel}" else 0.0
        torch.testing.assert_close(found[name], gradient + pull, atol=1e-6, rtol=1e-5)


def test_a_run_that_left_nothing_is_told(prepare):
    made = prepare("tiny")
    record = registry.make("method", {"use": "synaptic_intelligence", "run": "runs/a"})
    with pytest.raises(UserError, match="left nothing to hold"):
        record.apply(made.model, made.setting).begin(standing(made, {}))
