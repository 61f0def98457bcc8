"""Random weights: sizes of known architectures, or the shape of another model."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from graftlm.core import registry

ARCHITECTURES = ["bert", "modernbert", "gpt2"]


def make(**fields):
    return registry.make("backbone", {"use": "scratch", "layers": 2, "width": 32, "max_length": 40, **fields})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["AutoModel", "AutoModelForSequenceClassification"])
def test_it_has_the_asked_for_shape_and_runs_with_padding(architecture, kind):
    base = make(architecture=architecture, heads=2).open()
    module = base.build(kind, **({"num_labels": 3} if kind != "AutoModel" else {})).eval()
    inner = getattr(module, module.base_model_prefix, module)
    assert len(base.card.blocks) == 2
    for path in (*base.card.blocks, base.card.embeddings, *base.card.before):
        inner.get_submodule(path)
    assert base.card.width == 32
    assert base.card.limit == 40
    assert not base.card.pretrained
    batch = base.tokenizer(["one text", "x" * 99], padding=True, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 40)
    module.config.pad_token_id = base.tokenizer.pad_token_id
    batch.pop("token_type_ids")
    out = module(**batch)
    assert torch.isfinite(out.logits if "logits" in out else out.last_hidden_state).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_ahead_of_the_first_block_is_told(architecture):
    base = make(architecture=architecture).open()
    module = base.build("AutoModel", **({"add_pooling_layer": False} if architecture == "bert" else {}))
    ahead = (base.card.embeddings, *base.card.before)
    inside = (*ahead, *base.card.blocks)
    rest = {name for name, _ in module.named_parameters() if not name.startswith(tuple(f"{p}." for p in inside))}
    assert all("norm" in name or name.startswith("ln_f") for name in rest), rest


def test_the_seed_decides():
    def weights(seed):
        return make(seed=seed).open().build("AutoModel").state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embeddings.word_embeddings.weight"], other["embeddings.word_embeddings.weight"])


def test_like_another_takes_everything_but_the_weights():
    tiny = registry.make("backbone", {"use": "tiny", "layers": 3}).open()
    base = make(like={"use": "tiny", "layers": 3}, seed=7, max_length=None).open()
    assert base.config.to_dict() == tiny.config.to_dict()
    assert base.card.pooling == tiny.card.pooling == "mean"
    assert base.card.limit == tiny.card.limit
    assert base.card.name == "scratch-tiny"
    assert base.tokenizer("täxt")["input_ids"] == tiny.tokenizer("täxt")["input_ids"]
    first, second = (each.build("AutoModel").embeddings.word_embeddings.weight for each in (base, tiny))
    assert first.shape == second.shape
    assert not torch.equal(first, second)


def test_like_another_may_only_shorten_the_input():
    assert make(like="tiny", max_length=50).open().card.limit == 50
    assert make(like="tiny", max_length=5_000).open().card.limit == 128


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="width 32 is not a multiple of heads 5"):
        make(heads=5)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValidationError, match="'bert', 'modernbert' or 'gpt2'"):
        make(architecture="lstm")
