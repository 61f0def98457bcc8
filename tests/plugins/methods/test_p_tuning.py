"""P-tuning: learned vectors before the words, given by a small network while training."""

from __future__ import annotations

import peft
import torch

from graftlm.core import registry
from graftlm.nn import prompts


def method(**fields):
    return registry.make("method", {"use": "p_tuning", **fields})


def test_tokens_are_what_the_network_gives_and_the_network_is_not_kept(prepare, logits_of):
    made = prepare("tiny", dropout=0.0)
    adaptation = method(tokens=4, hidden=16).apply(made.model, made.setting)
    tokens = prompts.inside(made.model.module.encoder)
    assert isinstance(tokens.encoder, peft.PromptEncoder)
    e, (first, _, second, _, third) = tokens.encoder.embedding.weight, tokens.encoder.mlp_head
    given = e
    for layer, last in ((first, False), (second, False), (third, True)):
        given = given @ layer.weight.T + layer.bias
        given = given if last else given.clamp(min=0)
    torch.testing.assert_close(tokens.vectors(), given, atol=1e-6, rtol=1e-6)
    told = logits_of(made)
    adaptation.finish()
    assert torch.equal(logits_of(made), told)
    assert [name for name, _ in tokens.named_parameters()] == ["encoder.weight"]


def test_the_network_trains(prepare):
    made = prepare("tiny")
    adaptation = method(tokens=4, hidden=16).apply(made.model, made.setting)
    assert set(adaptation.rates.values()) == {5.0}
    assert len(adaptation.rates) == 7
    before = {name: made.model.module.get_parameter(name).detach().clone() for name in adaptation.rates}
    kept = made.train(steps=2, job={"adaptations": [adaptation]})[-1]
    assert kept.step == 2
    vectors = prompts.inside(made.model.module.encoder).vectors()
    assert vectors.shape == (4, 32)
    assert len(before) == 7


def test_the_network_starts_from_the_seed(prepare):
    from graftlm.stages.training.snapshots import seed_generators

    found = []
    for _ in range(2):
        made = prepare("tiny")
        seed_generators(3, "methods")
        found.append(method(tokens=4).make(made.model).vectors())
    assert torch.equal(*found)


def test_what_cannot_be_is_refused(prepare):
    made = prepare("tiny")
    assert "cannot be merged" in method(merge=True).refuses(made.model, made.setting)
    assert method().refuses(made.model, made.setting) is None
