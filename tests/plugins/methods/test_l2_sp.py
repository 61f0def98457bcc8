"""L2-SP against a plain AdamW that pulls by hand."""

from __future__ import annotations

import copy

import torch

from graftlm.contracts.method import Adaptation
from graftlm.core import registry


def pulled(made, start, strength, steps):
    """Train with a pull written here: w - rate * strength * (w - w0), one parameter after the other."""

    def pull(update):
        with torch.no_grad():
            for name, parameter in made.model.module.named_parameters():
                if name.startswith(f"{made.model.base}."):
                    parameter.sub_(update.rate(name) * strength * (parameter - start[name]))

    full = registry.make("method", "full").apply(made.model, made.setting)
    made.train(steps=steps, job={"adaptations": [full, Adaptation(after_update=pull)]})


def test_it_pulls_the_base_and_not_the_head(prepare):
    made, by_hand = prepare("tiny"), prepare("tiny")
    start = made.weights()
    record = registry.make("method", {"use": "l2_sp", "strength": 20.0})
    made.train(steps=6, job={"adaptations": [record.apply(made.model, made.setting)]})
    pulled(by_hand, start, 20.0, 6)
    for name, tensor in by_hand.weights().items():
        torch.testing.assert_close(made.weights()[name], tensor, atol=1e-6, rtol=1e-5)


def test_a_working_vocabulary_changes_nothing(prepare):
    made, small = prepare("tiny"), prepare("tiny")
    for one, working in ((made, False), (small, True)):
        record = registry.make("method", {"use": "l2_sp", "strength": 20.0})
        one.train(steps=6, working_vocabulary=working, job={"adaptations": [record.apply(one.model, one.setting)]})
    for name, tensor in made.weights().items():
        torch.testing.assert_close(small.weights()[name], tensor, atol=1e-6, rtol=1e-5)


def test_what_was_set_anew_has_no_pretrained_value(prepare):
    from graftlm.nn.kept import anchors

    made = prepare("tiny")
    start = copy.deepcopy(made.model.module)
    block = made.model.module.get_submodule(made.model.blocks[1])
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
    found = anchors(made.model.module, made.model.base, made.model.head, start)
    assert any(name.startswith(made.model.blocks[0]) for name in found)
    assert not any(name.startswith((made.model.blocks[1], made.model.head)) for name in found)


def test_beside_adapters_it_is_refused(prepare):
    made = prepare("tiny", methods=("l2_sp", "lora"))
    assert "'lora' freezes the base" in registry.make("method", "l2_sp").refuses(made.model, made.setting)
