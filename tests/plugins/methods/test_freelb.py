"""FreeLB against the same ascent written with `inputs_embeds`."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry
from graftlm.nn import perturbation


def sizes(values):
    return values.flatten(1).norm(dim=1).view(-1, 1, 1)


@pytest.mark.parametrize("longest", [0.0, 0.25])
def test_it_is_the_mean_gradient_along_the_ascent(prepare, inner_of, halves, gradient_of, task_gradient, longest):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "freelb", "steps": 3, "step": 0.2, "start": 0.0, "longest": longest})
    _, found = gradient_of(made, record.apply(made.model, made.setting).wrap(inner_of(made)), halves(made))
    total, at = task_gradient(made)
    delta = torch.zeros_like(at)
    for _ in range(2):
        delta = delta + 0.2 * at / sizes(at)
        if longest:
            delta = torch.where(sizes(delta) > longest, longest * delta / sizes(delta), delta)
        more, at = task_gradient(made, embeds=delta)
        total = {name: total[name] + more[name] for name in total}
    for name, gradient in total.items():
        torch.testing.assert_close(found[name], gradient / 3, atol=1e-5, rtol=1e-4)


def test_it_begins_uniform_in_a_cube_of_the_sequences_size(prepare, inner_of, halves, monkeypatch):
    seen = []
    plain = perturbation.Deltas.__call__

    def call(self, output, real):
        out = plain(self, output, real)
        if len(seen) < 2:
            seen.append((self.values[self.place - 1].detach().clone(), real))
        return out

    monkeypatch.setattr(perturbation.Deltas, "__call__", call)
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "freelb", "start": 0.7})
    record.apply(made.model, made.setting).wrap(inner_of(made))(halves(made))
    for value, real in seen:
        for one, mask in zip(value, real, strict=True):
            edge = 0.7 / (int(mask.sum()) * value.shape[-1]) ** 0.5
            assert not one[~mask].any()
            assert one[mask].abs().max() <= edge
            assert one[mask].abs().max() > 0.9 * edge
            assert one[mask].mean().abs() < 0.2 * edge


def test_all_passes_use_the_same_dropout_masks(prepare):
    made = prepare("tiny", dropout=0.5)
    record = registry.make("method", {"use": "freelb", "steps": 2, "start": 0.0, "step": 1e-12})
    losses = []

    def inner(batches):
        module = made.model.module.train()
        loss = module(**batches).logits.square().sum()
        loss.backward()
        losses.append(float(loss.detach()))
        return losses[-1]

    batch = made.data.packed.batch([0, 1, 2], made.model.tokenizer.pad_token_id)
    gradient = record.apply(made.model, made.setting).wrap(inner)
    gradient(batch)
    gradient(batch)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)
