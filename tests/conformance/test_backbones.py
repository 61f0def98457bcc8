"""What holds for every backbone that can be opened here: its card is true of the model that it builds."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry
from graftlm.core.errors import UserError


@pytest.fixture
def base(backbone_name, sample_of, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        return sample_of("backbone", backbone_name).open()
    except UserError as fault:
        pytest.skip(f"cannot be opened here: {fault}")


def test_its_card_is_true(base):
    model = base.build("AutoModel")
    card = base.card
    assert len(card.blocks) == len(set(card.blocks)) > 0
    for path in (*card.blocks, card.embeddings):
        model.get_submodule(path)
    ids = base.tokenizer(["a text"], return_tensors="pt")
    with torch.inference_mode():
        states = model.eval()(**ids).last_hidden_state
    assert states.shape == (1, ids["input_ids"].shape[1], card.width)
    assert card.limit > 0
    assert card.pooling in (None, "mean", "cls", "max", "last")
    assert card.name
    assert card.licence


def test_it_takes_inputs_as_long_as_it_says(base):
    model = base.build("AutoModel").eval()
    ids = torch.full((1, base.card.limit), base.tokenizer("a")["input_ids"][0])
    with torch.inference_mode():
        assert model(input_ids=ids).last_hidden_state.isfinite().all()


def test_building_twice_gives_the_same_weights(base):
    first, second = (base.build("AutoModel").state_dict() for _ in range(2))
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_building_leaves_the_random_state_alone(base):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    base.build("AutoModel")
    assert torch.equal(torch.rand(3), expected)


def test_its_claim_is_a_confidence(backbone_name):
    plugin = registry.load("backbone", backbone_name)
    for word in (backbone_name, "owner/model", "./folder", "no such thing"):
        assert 0 <= plugin.claims(word) <= 1
