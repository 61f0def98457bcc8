"""LwF against torch's divergence at a temperature, and against cosines."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from graftlm.contracts.values import Outputs
from graftlm.core import registry


@pytest.mark.parametrize("backbone", ["tiny", {"use": "tiny", "pooling": "native"}])
def test_with_an_earlier_run_its_head_answers_on_both_encoders(ground, moved, look_at, backbone):
    made = ground(backbone)
    loss = registry.make("loss", {"use": "lwf", "run": "runs/a", "temperature": 3.0})
    state = loss.prepare(made.ground)
    look = look_at(made, state)
    assert loss(look).item() == pytest.approx(0.0, abs=1e-6)
    moved(made)
    found = loss(look_at(made, state))
    old = made.earlier.model
    inputs = look.batch.inputs
    before = old.module(**inputs).logits.detach()
    body = {n: t.clone() for n, t in made.model.module.get_submodule(made.model.base).state_dict().items()}
    old.module.get_submodule(old.base).load_state_dict(body)  # the old model with the new encoder's weights
    after = old.module(**inputs).logits.detach()
    one, two = Categorical(logits=before / 3), Categorical(logits=after / 3)
    torch.testing.assert_close(found.detach(), 9 * kl_divergence(one, two).mean(), atol=1e-5, rtol=1e-4)
    made.model.module.zero_grad()
    found.backward()
    assert made.model.module.get_parameter(f"{made.model.base}.encoder.layer.0.output.dense.weight").grad.any()
    assert not state.state_dict()
    assert not list(state.parameters())


@pytest.mark.parametrize("backbone", ["tiny", {"use": "tiny", "pooling": "native"}])
def test_without_a_run_it_is_one_minus_the_cosine_of_the_vectors(ground, moved, look_at, backbone):
    made = ground(backbone)
    loss = registry.make("loss", "lwf")
    state = loss.prepare(made.ground)
    look = look_at(made, state)
    mask = look.batch.inputs["attention_mask"].unsqueeze(-1)

    def vectors():
        with torch.no_grad():
            states = made.model.module.get_submodule(made.model.base)(**look.batch.inputs).last_hidden_state
        mean = (states * mask).sum(1) / mask.sum(1)
        return mean / mean.norm(dim=1, keepdim=True)

    before = vectors()
    moved(made)
    expected = 1 - (before * vectors()).sum(1).mean()
    torch.testing.assert_close(loss(look_at(made, state)).detach(), expected, atol=1e-6, rtol=1e-5)


def test_an_old_head_reads_the_vector_that_it_was_trained_on(ground, moved, look_at):
    """The earlier run pooled the first token, this one the mean."""
    made = ground()
    made.earlier.model.module.pooling = "cls"
    loss = registry.make("loss", {"use": "lwf", "run": "runs/a", "temperature": 1.0})
    state = loss.prepare(made.ground)
    moved(made)
    look = look_at(made, state)
    found = loss(look)
    old, inputs = made.earlier.model, look.batch.inputs
    before = old.module(**inputs).logits.detach()
    states = made.model.module.encoder(**inputs).last_hidden_state
    one, two = Categorical(logits=before), Categorical(logits=old.module.head(states[:, 0]))
    torch.testing.assert_close(found, kl_divergence(one, two).mean(), atol=1e-5, rtol=1e-4)


class _Given:
    """A state whose models answer with given logits."""

    def __init__(self, before, now):
        self.before, self.now, self.live = before, now, "live"

    def answer(self, look):
        return Outputs(self.before)


def told(before, now, mask):
    state = _Given(before, now)
    look = SimpleNamespace(
        state=state, batch=SimpleNamespace(inputs={"attention_mask": mask}), outputs=None,
        run=lambda module, inputs: Outputs(state.now),
    )  # fmt: skip
    return registry.make("loss", {"use": "lwf", "run": "runs/a", "temperature": 2.0})(look)


def test_tags_are_held_at_real_tokens_alone():
    torch.manual_seed(0)
    before, now = torch.randn(2, 2, 5, 3)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    real = mask.bool()
    one, two = Categorical(logits=before[real] / 2), Categorical(logits=now[real] / 2)
    torch.testing.assert_close(told(before, now, mask), 4 * kl_divergence(one, two).mean())


def test_borders_are_held_among_real_tokens_alone():
    torch.manual_seed(0)
    before, now = torch.randn(2, 2, 2, 5)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    parts = [
        kl_divergence(Categorical(logits=before[row, :, :size] / 2), Categorical(logits=now[row, :, :size] / 2))
        for row, size in enumerate((3, 4))
    ]
    torch.testing.assert_close(told(before, now, mask), 4 * torch.cat(parts).mean())
