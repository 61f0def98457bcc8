"""SMART against the same search and divergence written with `inputs_embeds`."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from graftlm.contracts.ground import Ground
from graftlm.contracts.loss import Look
from graftlm.contracts.method import Update
from graftlm.contracts.values import Outputs
from graftlm.core import registry


def shown(made, batch):
    module = made.model.module.eval()

    def again():
        return Outputs(module(**batch.inputs).logits)

    return Look(batch, again(), made.model, made.task, made.space, 0, again, repeat=again)


def divergence(one, two):
    one, two = Categorical(logits=one), Categorical(logits=two)
    return (kl_divergence(one, two) + kl_divergence(two, one)).mean()


@pytest.mark.parametrize("steps", [1, 3])
def test_it_is_the_divergence_at_the_worst_of_a_small_cube(prepare, halves, steps):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "smart", "steps": steps, "epsilon": 0.02, "step": 0.015})
    term = record.apply(made.model, made.setting).terms[0]
    batch = halves(made)[0]
    look = shown(made, batch)
    torch.manual_seed(1)
    found = term(look)
    encoder, mask = made.model.module.encoder, batch.inputs["attention_mask"]
    words = encoder.embeddings.word_embeddings(batch.inputs["input_ids"]).detach()

    def logits(delta):
        states = encoder(inputs_embeds=words + delta, attention_mask=mask).last_hidden_state
        return made.model.module.head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    torch.manual_seed(1)
    delta = (0.02 * torch.randn(words.shape)).clamp(-0.02, 0.02) * mask[..., None]
    clean = logits(torch.zeros_like(words)).detach()
    for _ in range(steps):
        delta = delta.requires_grad_()
        grad = torch.autograd.grad(divergence(clean, logits(delta)), delta)[0]
        for row in range(len(batch)):
            grad[row] /= grad[row].abs().max()
        delta = (delta.detach() + 0.015 * grad * mask[..., None]).clamp(-0.02, 0.02)
    expected = divergence(logits(torch.zeros_like(words)), logits(delta))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)
    assert found.item() > 0


def test_the_distance_from_the_running_mean(prepare, halves):
    made = prepare("tiny", dropout=0.0)
    record = registry.make("method", {"use": "smart", "near": 1.0, "decay": 0.75})
    adaptation = record.apply(made.model, made.setting)
    adaptation.begin(Ground(made.model, made.task, made.space))
    start = made.weights()
    batch = halves(made)[0]
    with torch.no_grad():
        for number, parameter in enumerate(made.model.module.parameters()):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    adaptation.after_update(Update(0, lambda name: 1e-3))
    after = made.weights()
    found = adaptation.terms[1](shown(made, batch))
    found.backward()
    assert made.model.module.head.weight.grad.any()
    now = shown(made, batch).outputs.logits.detach()
    made.model.module.load_state_dict({n: 0.75 * start[n] + 0.25 * after[n] for n in start})
    mean = shown(made, batch).outputs.logits.detach()
    torch.testing.assert_close(found.detach(), divergence(now, mean), atol=1e-6, rtol=1e-4)


def test_the_same_dropout_masks_are_used_in_training(prepare):
    """With dropout and a vanishing cube D vanishes: what is left would be the difference of two masks."""
    made = prepare("tiny", dropout=0.3)
    record = registry.make("method", {"use": "smart", "epsilon": 1e-7, "step": 1e-7})
    adaptation = record.apply(made.model, made.setting)
    term, seen = adaptation.terms[0], []

    class Watched(type(term)):
        def __call__(self, look):
            found = super().__call__(look)
            seen.append(found.item())
            return found

    import dataclasses

    watched = dataclasses.replace(adaptation, terms=(Watched(**term.model_dump()),))
    for fast in (False, True):
        made.train(steps=2, fast_dropout=fast, job={"adaptations": [watched]})
    assert len(seen) == 4
    assert max(seen) < 1e-8
