"""MAS: the importance against a closed form and against explicit sums, the penalty against its formula."""

from __future__ import annotations

import torch

from graftlm.core import registry
from graftlm.nn.importance import importance


def test_on_a_linear_map_it_is_the_closed_form():
    """For f = W x, d ||f||^2 / dW = 2 (W x) x'; its size is averaged over rows."""
    torch.manual_seed(0)
    weight, x = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4)
    expected = torch.einsum("nc,nk->nck", 2 * x @ weight.detach().T, x).abs().mean(0)
    found = importance({"w": weight}, ((weight @ row).square().sum() for row in x), squared=False)["w"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def by_hand(made, value_of, rows):
    """Return the sum over parameters of the base, one row after the other."""
    found = {}
    for row in range(rows):
        inputs = made.data.packed.batch([row], made.model.tokenizer.pad_token_id)
        module, value = value_of(inputs)
        module.zero_grad()
        value.backward()
        for name, parameter in module.named_parameters():
            if name.startswith("encoder."):
                found[name] = found.get(name, 0) + parameter.grad.abs().double() / rows
    return found


def check(made, loss, weights, moved, look_at):
    start = made.weights()
    state = loss.prepare(made.ground)
    moved(made)
    expected = sum((weights[name] * (made.weights()[name] - start[name]).double() ** 2).sum() for name in weights)
    torch.testing.assert_close(loss(look_at(made, state)).double().detach(), expected, atol=1e-6, rtol=1e-5)


def test_of_the_bases_vectors(ground, moved, look_at):
    made = ground()
    weights = by_hand(made, lambda inputs: (made.model.module, made.model.module(**inputs).pooled.square().sum()), 4)
    check(made, registry.make("loss", {"use": "mas", "rows": 4}), weights, moved, look_at)


def test_of_an_earlier_runs_logits(ground, moved, look_at):
    made = ground()
    old = made.earlier.model.module
    weights = by_hand(made, lambda inputs: (old, old(**inputs).logits.square().sum()), 4)
    check(made, registry.make("loss", {"use": "mas", "rows": 4, "run": "runs/a"}), weights, moved, look_at)
