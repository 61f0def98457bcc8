"""The pooled model: the three modules of Sentence Transformers as one."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from graftlm.nn.pooled import PooledModel
from graftlm.nn.pooling import POOLINGS

SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture
def module():
    torch.manual_seed(0)
    return PooledModel(BertModel(BertConfig(**SIZES), add_pooling_layer=False), "mean", 3, 16).eval()


@pytest.fixture
def batch():
    return {"input_ids": torch.randint(0, 50, (2, 5)), "attention_mask": torch.tensor([[1] * 5, [1, 1, 0, 0, 0]])}


def test_logits_are_the_head_of_the_pooled_states(module, batch):
    out = module(**batch)
    states = module.encoder(**batch).last_hidden_state
    pooled = POOLINGS["mean"](states, batch["attention_mask"])
    assert torch.equal(out.pooled, pooled)
    assert torch.equal(out.logits, pooled @ module.head.weight.T + module.head.bias)
    assert out.hidden_states is None
    assert out.attentions is None


def test_states_and_attentions_come_when_asked_for(module, batch):
    module.encoder.config._attn_implementation = "eager"
    out = module(**batch, output_hidden_states=True, output_attentions=True)
    assert len(out.hidden_states) == 3
    assert [tuple(each.shape) for each in out.attentions] == [(2, 2, 5, 5)] * 2


def test_without_a_mask_every_token_counts(module, batch):
    ids = batch["input_ids"]
    assert torch.equal(module(input_ids=ids).logits, module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)


def test_the_dropout_before_the_head_is_the_architectures_own():
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16, seq_classif_dropout=0.35)
    assert PooledModel(DistilBertModel(config), "mean", 2, 16).dropout.p == 0.35
    config = BertConfig(**SIZES, classifier_dropout=None, hidden_dropout_prob=0.15)
    assert PooledModel(BertModel(config), "mean", 2, 16).dropout.p == 0.15
    config = BertConfig(**SIZES, classifier_dropout=0.25, hidden_dropout_prob=0.15)
    assert PooledModel(BertModel(config), "mean", 2, 16).dropout.p == 0.25


def test_every_parameter_gets_a_gradient(module, batch):
    module.train()(**batch).logits.sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []
