"""FGM against the same sum written with `inputs_embeds`."""

from __future__ import annotations

import torch

from graftlm.core import registry


def unit(gradient):
    return gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1)


def test_it_is_the_plain_gradient_and_the_one_at_the_moved_embeddings(
    prepare, inner_of, halves, gradient_of, task_gradient
):
    made = prepare("tiny", dropout=0.0)
    adaptation = registry.make("method", {"use": "fgm", "epsilon": 0.5}).apply(made.model, made.setting)
    _, found = gradient_of(made, adaptation.wrap(inner_of(made)), halves(made))
    plain, at = task_gradient(made)
    moved, _ = task_gradient(made, embeds=0.5 * unit(at))
    assert any((plain[name] - moved[name]).abs().max() > 1e-4 for name in plain)
    for name, gradient in plain.items():
        torch.testing.assert_close(found[name], gradient + moved[name], atol=1e-5, rtol=1e-4)


def test_padding_is_not_moved_and_hooks_are_gone(prepare, inner_of, halves):
    from graftlm.nn.perturbation import Deltas, edited, word_embedding

    made = prepare("tiny", dropout=0.0)
    deltas = Deltas()
    with edited(made.model.module, deltas):
        inner_of(made)(halves(made))
    for value, batch in zip(deltas.gradients(), halves(made), strict=True):
        padding = batch.inputs["attention_mask"] == 0
        assert padding.any()
        assert not value[padding].any()
        assert value[~padding].abs().sum() > 0
    assert not word_embedding(made.model.module)._forward_hooks


def test_with_frozen_blocks_the_perturbation_still_passes_through_them(prepare):
    weights = []
    for epsilon in (1e-6, 5.0):
        made = prepare("tiny", dropout=0.0)
        methods = [registry.make("method", {"use": "freeze", "layers": 1}), {"use": "fgm", "epsilon": epsilon}]
        adaptations = [registry.make("method", each).apply(made.model, made.setting) for each in methods]
        made.train(steps=3, job={"adaptations": adaptations})
        weights.append(made.weights())
    assert any((weights[0][name] - weights[1][name]).abs().max() > 1e-4 for name in weights[0])
