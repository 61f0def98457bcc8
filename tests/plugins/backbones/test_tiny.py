"""The tiny backbone: random, small, the same for the same seed."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graftlm.contracts.bytes import byte_tokenizer
from graftlm.core import registry

TOKENIZER = byte_tokenizer(64)


def make(**fields):
    return registry.make("backbone", {"use": "tiny", **fields})


def test_sizes_are_as_asked():
    base = make(width=16, layers=3).open()
    module = base.build("AutoModel")
    assert base.card.width == module.config.hidden_size == 16
    assert len(base.card.blocks) == len(module.encoder.layer) == 3
    assert not base.card.pretrained
    assert base.card.prefix_cacheable


def test_the_seed_decides():
    def table(seed):
        return make(seed=seed).open().build("AutoModel").embeddings.word_embeddings.weight

    assert torch.equal(table(0), table(0))
    assert not torch.equal(table(0), table(1))


def test_the_longest_input_can_be_set():
    assert make().open().card.limit == 128
    assert make(max_length=20).open().card.limit == 20
    base = make(max_length=400).open()
    assert base.card.limit == 400
    ids = base.tokenizer("x" * 900, truncation=True, return_tensors="pt")
    assert ids["input_ids"].shape == (1, 400)
    base.build("AutoModel")(**ids)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_its_tokenizer_gives_every_text_back(text):
    ids = TOKENIZER(text, truncation=False)["input_ids"]
    assert len(ids) == len(text.encode("utf-8")) + 2
    assert TOKENIZER.unk_token_id not in ids
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == text


def test_a_pair_has_token_types():
    found = TOKENIZER("ab", "c")
    assert found["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert TOKENIZER.convert_ids_to_tokens(found["input_ids"]) == ["[CLS]", "a", "b", "[SEP]", "c", "[SEP]"]
