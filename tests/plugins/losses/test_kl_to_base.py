"""KL to the base against torch's divergence of two categorical distributions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look
from graftlm.contracts.model import Model
from graftlm.contracts.values import Batch, Outputs
from graftlm.core import registry

TASK = registry.make("task", "classification")


class Answering(torch.nn.Module):
    """A base and a head, so small that both can be read off."""

    def __init__(self):
        super().__init__()
        self.base, self.head = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)

    def forward(self, x):
        return Outputs(self.head(self.base(x)))


@pytest.mark.parametrize("direction", ["base", "model"])
def test_it_is_the_divergence_from_the_base_under_the_head_that_training_started(direction):
    torch.manual_seed(0)
    module = Answering()
    start = copy.deepcopy(module)
    with torch.no_grad():
        module.head.weight.add_(1.0)  # the probe's solution, say
    loss = registry.make("loss", {"use": "kl_to_base", "direction": direction})
    state = loss.prepare(Ground(Model(module, None, None, "native", "base", "head", ""), TASK, None, start=start))
    x, targets = torch.randn(6, 4), torch.zeros(6, dtype=torch.long)
    before = module(x).logits.detach()
    with torch.no_grad():
        module.base.weight.add_(0.3)
    batch = Batch({"x": x}, targets, range(6))
    run = lambda other, inputs: other(**inputs)  # noqa: E731
    look = Look(batch, module(x), None, TASK, None, 0, lambda: None, state, run=run)
    one, two = Categorical(logits=before), Categorical(logits=module(x).logits)
    expected = kl_divergence(one, two) if direction == "base" else kl_divergence(two, one)
    torch.testing.assert_close(loss(look), expected.mean(), atol=1e-6, rtol=1e-5)
    assert not state.state_dict()
    assert not list(state.parameters())


def test_a_task_that_does_not_choose_is_refused():
    class Other:
        chooses = False

        @staticmethod
        def name():
            return "other"

    assert "no" in registry.make("loss", "kl_to_base").refuses(None, Other)
