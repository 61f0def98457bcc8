"""Adapters of one base: side by side over one copy of it, and averaged, against arithmetic on whole weights."""

from __future__ import annotations

import pytest
import torch
from tests.adapted import TASK, logits, moved

from graftlm.bundle import average, load, open_bundle, together, write
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.nn import adapters, low_rank
from graftlm.stages.training.assembling import assemble

TINY, NATIVE, GPT2 = {"use": "tiny"}, {"use": "tiny", "pooling": "native"}, {"use": "tiny", "architecture": "gpt2"}


def kept(folder, backbone, seed, method="lora", labels=("a", "b", "c"), **fields):
    """Write an adapter that is not where it started; return the model."""
    space = Space(labels, len(labels))
    model = moved(backbone, method, space, noise=seed, **fields)
    write(folder, model, TASK, space, max_length=32)
    return model


def delta(part):
    """Return what an adapter adds to a weight (out, in), by PEFT."""
    given = part.get_delta_weight("default").detach()
    return given.T if part.fan_in_fan_out else given


@pytest.mark.parametrize("backbone", [TINY, NATIVE, GPT2], ids=["pooled", "native", "gpt2"])
def test_side_by_side_each_answers_as_alone_over_one_base(tmp_path, backbone):
    alone = {
        "one": kept(tmp_path / "one", backbone, 1),
        "two": kept(tmp_path / "two", backbone, 2, labels=("x", "y"), rank=2),
        "scaled": kept(tmp_path / "scaled", backbone, 3, method="ia3"),
        "words": kept(tmp_path / "words", backbone, 4, method="prompt"),
    }
    found = together({name: tmp_path / name for name in alone}, precision="fp32", device="cpu")
    for name in [*alone, *reversed(alone)]:
        assert torch.equal(logits(found[name][1]), logits(alone[name])), name
    assert found["two"][0].space().labels == ("x", "y")
    held = []
    for _, model in found.values():
        body = model.module.get_submodule(model.base)
        with adapters.lifted(body):
            held.append({name: parameter.data_ptr() for name, parameter in body.named_parameters()})
    assert all(each == held[0] for each in held)


def test_in_bf16_the_base_is_held_once_too(tmp_path):
    for seed in (1, 2):
        kept(tmp_path / str(seed), TINY, seed)
    found = together({name: tmp_path / name for name in ("1", "2")}, precision="bf16", device="cpu")
    first, second = (model.module.encoder.embeddings.word_embeddings.weight for _, model in found.values())
    assert first is second
    assert first.dtype == torch.bfloat16
    exact = load(open_bundle(tmp_path / "2"), precision="bf16", device="cpu")
    assert torch.equal(logits(found["2"][1]), logits(exact))


@pytest.mark.parametrize("backbone", [TINY, NATIVE, GPT2], ids=["pooled", "native", "gpt2"])
def test_the_mean_is_that_of_the_updates_and_heads(tmp_path, backbone):
    models = [kept(tmp_path / str(n), backbone, n, rank=2 + n) for n in (1, 2)]
    average([tmp_path / "1", tmp_path / "2"], tmp_path / "mean", weights=[0.25, 0.75])
    mean = load(open_bundle(tmp_path / "mean"), precision="fp32", device="cpu")
    parts = [adapters.layers(model.module) for model in models]
    for name, part in adapters.layers(mean.module).items():
        expected = 0.25 * delta(parts[0][name]) + 0.75 * delta(parts[1][name])
        torch.testing.assert_close(delta(part), expected, atol=1e-6, rtol=1e-5)
        assert len(part.lora_A["default"].weight) == 3 + 4
    heads = [model.module.get_submodule(model.head).weight for model in models]
    torch.testing.assert_close(mean.module.get_submodule(mean.head).weight, 0.25 * heads[0] + 0.75 * heads[1])


def test_of_a_given_rank_it_is_the_nearest_to_the_mean(tmp_path):
    models = [kept(tmp_path / str(n), TINY, n, rank=4) for n in (1, 2)]
    average([tmp_path / "1", tmp_path / "2"], tmp_path / "mean", rank=3)
    mean = load(open_bundle(tmp_path / "mean"), precision="fp32", device="cpu")
    parts = [adapters.layers(model.module) for model in models]
    for name, part in adapters.layers(mean.module).items():
        u, s, v = torch.linalg.svd((delta(parts[0][name]) + delta(parts[1][name])) / 2)
        torch.testing.assert_close(delta(part), u[:, :3] @ s[:3].diag() @ v[:3], atol=1e-5, rtol=1e-4)
        assert part.lora_A["default"].weight.shape[0] == 3


def test_a_rank_beyond_what_there_is_changes_nothing():
    update = (torch.randn(3, 8), torch.randn(5, 3))
    assert low_rank.truncated(update, 3) is update


def test_what_cannot_be_joined_is_refused(tmp_path):
    kept(tmp_path / "a", TINY, 1)
    kept(tmp_path / "other", {**TINY, "seed": 5}, 1)
    kept(tmp_path / "labels", TINY, 1, labels=("x", "y", "z"))
    kept(tmp_path / "ia3", TINY, 1, method="ia3")
    kept(tmp_path / "dora", TINY, 1, method="dora")
    space = Space(("a", "b", "c"), 3)
    backbone = registry.make("backbone", TINY)
    write(tmp_path / "whole", assemble(backbone.open(), backbone, TASK, space, seed=0), TASK, space, max_length=32)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"adapters of one base; got several"):
        together({"a": tmp_path / "a", "b": tmp_path / "other"})
    with pytest.raises(UserError, match=r"got a whole model\. Train it with merge: false"):
        together({"a": tmp_path / "a", "b": tmp_path / "whole"})
    with pytest.raises(UserError, match="at least two"):
        average([tmp_path / "a"], out)
    with pytest.raises(UserError, match="2 weights that sum to 1; got 2 with the sum 1.5"):
        average([tmp_path / "a", tmp_path / "a"], out, weights=[0.5, 1])
    with pytest.raises(UserError, match="rank of at least 1"):
        average([tmp_path / "a", tmp_path / "a"], out, rank=0)
    with pytest.raises(UserError, match="the same labels"):
        average([tmp_path / "a", tmp_path / "labels"], out)
    with pytest.raises(UserError, match="kind IA3"):
        average([tmp_path / "a", tmp_path / "ia3"], out)
    with pytest.raises(UserError, match="DoRA"):
        average([tmp_path / "a", tmp_path / "dora"], out)
    assert not out.exists()
