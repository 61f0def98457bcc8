"""Assembling: a base and a task become one model, native or pooled."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.stages.training.assembling import assemble, pooling_of

SPACE = Space(("a", "b", "c"), 3)
TASK = registry.make("task", "classification")


def make(seed=0, **backbone):
    made = registry.make("backbone", {"use": "tiny", **backbone})
    base = made.open()
    return base, assemble(base, made, TASK, SPACE, seed=seed)


@pytest.mark.parametrize(("declared", "auto"), [("mean", "mean"), ("cls", "cls"), ("max", "max"), (None, None),
                                               ("weightedmean", None)])  # fmt: skip
def test_pooling_follows_the_recipe_then_the_checkpoint(declared, auto):
    tiny = registry.make("backbone", "tiny")
    base = tiny.open()
    base = dataclasses.replace(base, card=dataclasses.replace(base.card, pooling=declared))
    for given, expected in {"auto": auto, "native": None, "mean": "mean", "cls": "cls", "max": "max"}.items():
        assert pooling_of(tiny.model_copy(update={"pooling": given}), base) == expected


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_a_pooled_model(pooling):
    base, model = make(pooling=pooling)
    assert (model.style, model.base, model.head, model.module.pooling) == ("pooled", "encoder", "head", pooling)
    assert not any("pooler" in name for name, _ in model.module.named_modules())
    assert model.module.head.weight.shape == (3, 32)
    assert [type(model.module.get_submodule(path)).__name__ for path in model.blocks] == ["BertLayer"] * 2
    assert type(model.module.get_submodule(model.embeddings)).__name__ == "BertEmbeddings"


def test_a_native_model_knows_its_labels():
    base, model = make(pooling="native")
    assert (model.style, model.base, model.head) == ("native", "bert", "classifier")
    assert model.module.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.module.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert [type(model.module.get_submodule(path)).__name__ for path in model.blocks] == ["BertLayer"] * 2
    ids = model.tokenizer("text", return_tensors="pt")
    assert model.module(**ids).logits.shape == (1, 3)


@pytest.mark.parametrize("pooling", ["native", "mean"])
def test_the_head_is_drawn_from_the_seed_and_the_rest_from_the_base(pooling):
    first, again, other = (make(pooling=pooling, seed=seed)[1] for seed in (0, 0, 1))
    for name, tensor in first.module.state_dict().items():
        assert torch.equal(tensor, again.module.state_dict()[name]), name
    head = f"{first.head}.weight"
    assert not torch.equal(first.module.state_dict()[head], other.module.state_dict()[head])
    table = f"{first.embeddings}.word_embeddings.weight"
    assert torch.equal(first.module.state_dict()[table], other.module.state_dict()[table])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    make(pooling="native")
    make()
    assert torch.equal(torch.randn(3), expected)


def test_a_tokenizer_without_padding_borrows_the_end_of_text_or_is_refused():
    tiny = registry.make("backbone", "tiny")
    base = tiny.open()
    base.tokenizer.pad_token = None
    with pytest.raises(UserError, match="The tokenizer of 'tiny' has no padding token; batches cannot be made"):
        assemble(base, tiny, TASK, SPACE, seed=0)
    base.tokenizer.eos_token = "[SEP]"
    model = assemble(base, tiny, TASK, SPACE, seed=0)
    assert model.tokenizer.pad_token == "[SEP]"
