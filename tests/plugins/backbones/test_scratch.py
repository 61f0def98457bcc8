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
    with pytest.raises(ValidationError, match="'gpt2', 't5' or 'bart'"):
        make(architecture="lstm")


@pytest.mark.parametrize("architecture", ["t5", "bart"])
def test_an_encoder_with_a_decoder_reads_and_writes(architecture):
    base = make(architecture=architecture, heads=2).open()
    card, module = base.card, base.build("AutoModelForSeq2SeqLM").eval()
    assert (card.stack, len(card.blocks), card.limit) == ("encoder-decoder", 4, 40)
    inner = getattr(module, module.base_model_prefix, module)
    for path in (*card.blocks, card.embeddings, *card.before):
        inner.get_submodule(path)
    ids = base.tokenizer("ein Satz")["input_ids"]
    assert ids[-1] == base.config.eos_token_id == module.generation_config.eos_token_id
    # the library's own shift of labels begins with the token that the tokenizer tells
    shifted = module.prepare_decoder_input_ids_from_labels(labels=torch.tensor([ids]))
    assert shifted[0].tolist() == [base.tokenizer.decoder_start_token_id, *ids[:-1]]
    again = base.build("AutoModelForSeq2SeqLM").state_dict()
    plain = base.build("AutoModel").state_dict()
    held = {name.removeprefix("model."): tensor for name, tensor in again.items()}
    assert all(torch.equal(plain[name], held[name]) for name in plain)


TEXTS = ["the cat sat on the mat", "the dog sat on the cat", "die Katze saß", "猫坐在垫子上", "猫坐在垫子下"] * 3


def test_a_trained_tokenizer_comes_from_the_texts_alone():
    backbone = make(architecture="t5", tokenizer="trained", vocabulary=320)
    first, again = backbone.open_on(lambda: iter(TEXTS)), backbone.open_on(lambda: iter(TEXTS))
    other = backbone.open_on(lambda: iter(TEXTS[:3]))
    assert first.tokenizer.get_vocab() == again.tokenizer.get_vocab() != other.tokenizer.get_vocab()
    assert first.config.vocab_size == len(first.tokenizer) <= 320
    for text in [*TEXTS, "nie gesehen: ☃ \t x", " zwei  Leerzeichen"]:
        ids = first.tokenizer(text)["input_ids"]
        assert first.tokenizer.decode(ids, skip_special_tokens=True) == text
        assert first.tokenizer.unk_token_id not in ids
    assert len(first.tokenizer("the cat sat")["input_ids"]) < 8
    first.build("AutoModelForSeq2SeqLM")


def test_a_tokenizer_is_not_trained_on_nothing():
    from graftlm.core.errors import UserError

    backbone = make(tokenizer="trained")
    with pytest.raises(UserError, match="training texts"):
        backbone.open()
    with pytest.raises(UserError, match="all empty"):
        backbone.open_on(lambda: iter(["", "  "]))
    assert make().open_on(lambda: iter([])).card == make().open().card


def test_dropout_is_the_architectures_own_unless_named():
    assert make(architecture="t5").open().config.dropout_rate == 0.1
    assert make(architecture="modernbert").open().config.mlp_dropout == 0.0
    for architecture, name in {"t5": "dropout_rate", "bart": "dropout", "gpt2": "resid_pdrop"}.items():
        assert getattr(make(architecture=architecture, dropout=0.3).open().config, name) == 0.3
