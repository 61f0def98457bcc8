"""NEFTune's noise: uniform, of the size that the formula says, none at padding, none in evaluations."""

from __future__ import annotations

import torch

from graftlm.core import registry
from graftlm.nn.perturbation import word_embedding


def test_the_noise_is_uniform_at_alpha_over_the_root_of_the_sequences_size(prepare, halves):
    made = prepare("tiny", dropout=0.0)
    table = word_embedding(made.model.module)
    seen = []
    encoder = made.model.module.get_submodule(made.model.base)
    encoder.embeddings.LayerNorm.register_forward_pre_hook(lambda _module, args: seen.append(args[0].detach()))

    def inner(batches):
        for batch in batches:
            made.model.module(**batch.inputs).logits.sum().backward()
        return 0.0

    gradient = registry.make("method", {"use": "neftune", "alpha": 5.0}).apply(made.model, made.setting).wrap(inner)
    batches = halves(made)
    inner(batches)
    gradient(batches)
    for batch, plain, noisy in zip(batches, seen[:2], seen[2:], strict=True):
        noise = noisy - plain
        for one, mask in zip(noise, batch.inputs["attention_mask"].bool(), strict=True):
            edge = 5.0 / (int(mask.sum()) * noise.shape[-1]) ** 0.5
            assert not one[~mask].any()
            assert 0.9 * edge < one[mask].abs().max() <= 1.001 * edge
            # a uniform variable in [-e, e] has variance e^2 / 3
            assert abs(float(one[mask].var()) / (edge**2 / 3) - 1) < 0.3
    assert not table._forward_hooks


def test_without_gradient_nothing_is_added(prepare):
    made = prepare("tiny", dropout=0.0)
    answers = []

    def inner(batches):
        with torch.no_grad():
            answers.append(made.model.module(**batches).logits)
        return 0.0

    batch = made.data.packed.batch([0, 1], made.model.tokenizer.pad_token_id)
    inner(batch)
    registry.make("method", "neftune").apply(made.model, made.setting).wrap(inner)(batch)
    inner(batch)
    assert torch.equal(answers[1], answers[2])
