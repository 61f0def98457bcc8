"""Freezing: what is frozen stays bit for bit, and its outputs may be computed once."""

from __future__ import annotations

import dataclasses
import logging
from typing import ClassVar

import pytest
import torch

from graftlm.contracts.loss import Loss
from graftlm.core import registry

CACHEABLE = {
    name: {"use": "scratch", "architecture": name, "layers": 3, "width": 32, "max_length": 64, **more}
    for name, more in {"bert": {}, "modernbert": {}, "gpt2": {}}.items()
} | {"tiny": {"use": "tiny", "layers": 3}, "native": {"use": "tiny", "layers": 3, "pooling": "native"}}


class Looking(Loss):
    """Looks at the states of all blocks."""

    source: ClassVar[str] = "test"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden_states"})

    def __call__(self, look):
        assert len(look.outputs.hidden_states) == 4
        return 0 * look.outputs.logits.sum()


def method(**fields):
    return registry.make("method", {"use": "freeze", **fields})


def uncached(made):
    """Forbid the cache on a setup."""
    card = dataclasses.replace(made.model.card, prefix_cacheable=False)
    made.model = dataclasses.replace(made.model, card=card)
    return made


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("name", CACHEABLE)
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_trains(prepare, name, depth):
    made = prepare(CACHEABLE[name])
    before = made.weights()
    adaptation = method(layers=depth, head="random").apply(made.model, made.setting)
    assert adaptation.frozen == depth
    made.train(steps=5, fast_dropout=True, working_vocabulary=True, job={"adaptations": [adaptation]})
    after = made.weights()
    frozen = tuple(f"{path}." for path in [*made.model.before, *made.model.blocks[:depth]])
    for key, tensor in before.items():
        if key.startswith(frozen):
            assert torch.equal(tensor, after[key]), key
        elif "pooler" not in key and made.model.module.get_parameter(key).requires_grad:
            assert not torch.equal(tensor, after[key]), key


@pytest.mark.parametrize("name", CACHEABLE)
@pytest.mark.parametrize("depth", [1, 2])
def test_with_the_cache_it_equals_without(prepare, name, depth, caplog):
    runs = []
    for change in (lambda made: made, uncached):
        caplog.clear()
        made = change(prepare(CACHEABLE[name], dropout=0.0))
        adaptation = method(layers=depth).apply(made.model, made.setting)
        with caplog.at_level(logging.INFO, "graftlm"):
            told = made.train(
                steps=6, rate=1e-3, optimizer={"use": "sgd"}, evaluate_every=0.25,
                job={"adaptations": [adaptation], "judge": lambda model: registry_score()},
            )  # fmt: skip
        cached = f"the outputs of {depth} blocks are computed once and replayed" in caplog.text
        assert cached == made.model.card.prefix_cacheable
        runs.append(([progress.loss for progress in told], made.weights()))
    assert runs[0][0] == pytest.approx(runs[1][0], abs=1e-5)
    for key, tensor in runs[0][1].items():
        torch.testing.assert_close(tensor, runs[1][1][key], atol=1e-5, rtol=0, msg=lambda text, n=key: f"{n}: {text}")


def registry_score():
    from graftlm.contracts.values import Score

    return Score(0.5)


def test_frozen_blocks_run_without_dropout(prepare):
    made = uncached(prepare(CACHEABLE["tiny"], dropout=0.4))
    adaptation = method(layers=2).apply(made.model, made.setting)
    states = []
    hook = made.model.module.get_submodule(made.model.blocks[1]).register_forward_hook(
        lambda block, args, out: states.append((block.training, out))
    )
    made.train(steps=2, batch_size=15, bucket=False, job={"adaptations": [adaptation]})
    hook.remove()
    assert [training for training, _ in states] == [False, False]
    first, second = (out.sum(dim=(1, 2)).sort().values for _, out in states)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("job", "card", "reason"),
    [
        ({"augmented": True}, {}, "not cached, augmentation changes the rows"),
        ({"losses": (Looking(),)}, {}, "not cached, a loss looks at the states of all blocks"),
        ({}, {"prefix_cacheable": False}, "not cached, blocks of 'bert' share what they need"),
    ],
)
def test_where_the_cache_would_not_be_exact_it_is_off_and_the_log_says_why(prepare, caplog, job, card, reason):
    made = prepare(CACHEABLE["tiny"])
    made.model = dataclasses.replace(made.model, card=dataclasses.replace(made.model.card, **card))
    adaptation = method(layers=1).apply(made.model, made.setting)
    with caplog.at_level(logging.INFO, "graftlm"):
        made.train(steps=2, job={"adaptations": [adaptation], **job})
    assert f"frozen prefix: {reason}" in caplog.text


def test_blocks_are_whole_after_training(prepare):
    made = prepare(CACHEABLE["tiny"])
    parts = dict(made.model.module.named_modules())
    adaptation = method().apply(made.model, made.setting)
    made.train(steps=3, fast_dropout=True, job={"adaptations": [adaptation]})
    assert {name: id(part) for name, part in made.model.module.named_modules()} == {
        name: id(part) for name, part in parts.items()
    }


def test_two_thirds_are_frozen_by_default(prepare):
    made = prepare({"use": "tiny", "layers": 6})
    assert method().apply(made.model, made.setting).frozen == 4


def test_the_head_starts_at_the_linear_solution(prepare):
    made = prepare()
    method().apply(made.model, made.setting)
    assert torch.equal(made.model.module.head.weight, torch.from_numpy(made.features.probe(made.rows).weight))


def test_more_blocks_than_there_are_is_refused(prepare):
    made = prepare()
    assert method(layers=3).refuses(made.model, made.setting) == "layers is 3, but 'tiny' has 2 blocks"
    assert method(layers=2).refuses(made.model, made.setting) is None
    assert method().refuses(made.model, made.setting) is None
