"""What holds for every loss: a finite scalar with gradient, and a step against it makes it smaller."""

from __future__ import annotations

import math

import torch

from graftlm.contracts.loss import Look
from graftlm.contracts.values import Outputs
from graftlm.core import registry


def value(run, loss, state):
    """Return the loss on the run's first batch, with the graph of the model behind it."""
    needs = {f"output_{need}": True for need in loss.needs if need in ("hidden_states", "attentions")}

    def ran(module, inputs):
        out = module(**inputs, **needs)
        return Outputs(out.logits, *(getattr(out, n, None) for n in ("hidden_states", "attentions", "pooled")))

    def again():
        return ran(run.model.module, run.batch.inputs)

    return loss(Look(run.batch, again(), run.model, run.task, run.space, 0, again, state, again, ran))


def test_it_says_when_to_use_it(loss_name):
    assert registry.load("loss", loss_name).when.strip(), "say in `when` when to use it, and which neighbour to prefer"


def test_it_is_a_finite_scalar_with_gradient(loss_name, make_run, make_plugin):
    run = make_run(["full"])
    loss = make_plugin("loss", loss_name)
    assert loss.refuses(run.model, run.task) is None
    run.model.module.train()
    torch.manual_seed(0)
    found = value(run, loss, loss.prepare(run.ground()))
    assert found.shape == ()
    assert math.isfinite(found.item())
    found.backward()
    gradients = [p.grad for p in run.model.module.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_small_step_against_the_gradient_makes_it_smaller(loss_name, make_run, make_plugin):
    run = make_run(["full"])
    loss = make_plugin("loss", loss_name)
    state = loss.prepare(run.ground())
    with torch.no_grad():  # away from the start, where an anchored loss is at its minimum
        for parameter in run.model.module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    run.model.module.train()
    torch.manual_seed(0)
    before = value(run, loss, state)
    before.backward()
    with torch.no_grad():
        for parameter in run.model.module.parameters():
            if parameter.grad is not None:
                parameter.sub_(1e-3 * parameter.grad / (parameter.grad.norm() + 1e-12))
    torch.manual_seed(0)
    assert value(run, loss, state).item() < before.item()


def test_a_run_cut_and_resumed_ends_with_the_same_bits(loss_name, make_run):
    whole, cut, again = (make_run(["full"], losses=[loss_name]) for _ in range(3))
    whole.train(steps=4)
    again.train(steps=4, resume=cut.snapshot_after(2, steps=4))
    for name, tensor in whole.model.module.state_dict().items():
        assert torch.equal(tensor, again.model.module.state_dict()[name]), name


def test_three_steps_in_bf16_stay_finite(loss_name, make_run):
    assert all(math.isfinite(each) for each in make_run(["full"], losses=[loss_name]).train(steps=3, precision="bf16"))


def test_three_steps_stay_finite_and_repeat_bit_for_bit(loss_name, make_run):
    first, second = (make_run(["full"], losses=[loss_name]) for _ in range(2))
    assert all(math.isfinite(each) for each in first.train(steps=3))
    second.train(steps=3)
    for name, tensor in first.model.module.state_dict().items():
        assert torch.equal(tensor, second.model.module.state_dict()[name]), name
