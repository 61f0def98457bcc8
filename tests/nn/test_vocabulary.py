"""The working embedding: same rows, same gradients, everything back after."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from graftlm.nn import vocabulary
from graftlm.nn.vocabulary import WorkingEmbedding

IDS = np.array([2, 3, 7, 11])


@pytest.fixture
def full():
    torch.manual_seed(0)
    return nn.Embedding(20, 4)


def test_rows_of_known_and_unknown_ids_are_those_of_the_full_table(full):
    ids = torch.tensor([[2, 3, 19], [11, 0, 7]])
    working = WorkingEmbedding(full, IDS)
    assert working.weight.shape == (4, 4)
    assert torch.equal(working(ids), full(ids))


def test_unknown_ids_get_no_gradient_and_known_ones_the_usual(full):
    ids = torch.tensor([[2, 2, 19], [11, 0, 7]])
    weights = torch.randn(2, 3, 4)
    twin = copy.deepcopy(full)
    working = WorkingEmbedding(full, IDS)
    (working(ids) * weights).sum().backward()
    (twin(ids) * weights).sum().backward()
    assert torch.equal(working.weight.grad, twin.weight.grad[torch.as_tensor(IDS)])
    assert full.weight.grad is None


def test_the_padding_row_gets_no_gradient():
    full = nn.Embedding(20, 4, padding_idx=3)
    working = WorkingEmbedding(full, IDS)
    working(torch.tensor([[2, 3]])).sum().backward()
    assert working.weight.grad[0].tolist() == [1, 1, 1, 1]
    assert working.weight.grad[1].tolist() == [0, 0, 0, 0]
    assert WorkingEmbedding(nn.Embedding(20, 4, padding_idx=0), IDS).padding_idx is None


def test_trained_rows_are_scattered_back_and_others_stay(full):
    before = full.weight.detach().clone()
    working = WorkingEmbedding(full, IDS)
    with torch.no_grad():
        working.weight.add_(1)
    assert working.restored() is full
    moved = torch.zeros(20, dtype=torch.bool)
    moved[torch.as_tensor(IDS)] = True
    assert torch.equal(full.weight[moved], before[moved] + 1)
    assert torch.equal(full.weight[~moved], before[~moved])


def test_a_copy_shares_the_full_table_but_not_the_rows(full):
    working = WorkingEmbedding(full, IDS)
    twin = copy.deepcopy(working)
    assert twin.aside.table is full
    with torch.no_grad():
        twin.weight.zero_()
    assert working.weight.abs().sum() > 0


def test_it_is_swapped_into_a_model_and_out_again():
    module = BertModel(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                  intermediate_size=8)).eval()  # fmt: skip
    ids = torch.tensor([[2, 3, 7, 19]])
    table = module.get_input_embeddings()
    before = module(ids).last_hidden_state
    swapped = vocabulary.swap_in(module, IDS)
    assert isinstance(module.get_input_embeddings(), WorkingEmbedding)
    assert torch.equal(module(ids).last_hidden_state, before)
    vocabulary.swap_out(swapped)
    assert module.get_input_embeddings() is table


def test_a_module_without_embeddings_is_left_alone():
    assert vocabulary.swap_in(nn.Linear(2, 2), IDS) == []
    assert vocabulary.input_embedding(nn.Linear(2, 2)) is None


def test_a_tied_model_is_found_out():
    from graftlm.stages.training.levers import tied

    sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "bos_token_id": 1}
    assert tied(GPT2LMHeadModel(GPT2Config(**sizes)))
    assert not tied(GPT2LMHeadModel(GPT2Config(**sizes, tie_word_embeddings=False)))
    assert not tied(nn.Linear(2, 2))


def test_two_stacks_that_share_their_embeddings_count_as_tied():
    from transformers import BartConfig, BartModel, T5Config, T5ForConditionalGeneration

    from graftlm.stages.training.levers import tied

    sizes = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2, "d_ff": 8}
    assert tied(T5ForConditionalGeneration(T5Config(**sizes)))
    halves = {f"{part}_{name}": 1 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    assert tied(BartModel(BartConfig(vocab_size=60000, d_model=8, **halves)))
