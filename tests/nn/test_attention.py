"""Plain attention against torch's own, and inside whole models with padding."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    ModernBertConfig,
    ModernBertModel,
)
from transformers.masking_utils import eager_mask

from graftlm.nn import attention
from graftlm.nn.dropout import MaskTape


def inputs():
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, 7, 8) for _ in range(3))
    keep = torch.ones(3, 1, 7, 7, dtype=torch.bool)
    keep[1, ..., 4:] = False
    keep[2, ..., 1:] = False
    return query, key, value, keep


def test_it_equals_the_fused_kernel():
    query, key, value, keep = inputs()
    additive = torch.zeros(keep.shape).masked_fill(~keep, torch.finfo(torch.float32).min)
    out, weights = attention.make(MaskTape(0))(nn.Module().eval(), query, key, value, additive, dropout=0.5)
    expected = functional.scaled_dot_product_attention(query, key, value, keep).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 7))


def test_the_scaling_can_be_given():
    query, key, value, _ = inputs()
    out, _ = attention.make(MaskTape(0))(nn.Module().eval(), query, key, value, None, scaling=0.3)
    expected = functional.scaled_dot_product_attention(query, key, value, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)


def test_dropout_is_drawn_from_the_tape_and_keeps_the_expectation():
    query, key, value, _ = inputs()
    tape = MaskTape(0)
    attend = attention.make(tape)
    module = nn.Module().train()
    plain = attend(module, query, key, value, None, dropout=0.0)[0]
    total = torch.zeros_like(plain)
    for step in range(400):
        tape.begin(step)
        total += attend(module, query, key, value, None, dropout=0.3)[0]
    assert not torch.equal(total / 400, plain)
    assert (total / 400 - plain).abs().mean() < 0.03
    tape.begin(9)
    first = attend(module, query, key, value, None, dropout=0.3)[0]
    tape.begin(9)
    assert torch.equal(first, attend(module, query, key, value, None, dropout=0.3)[0])


SIZES = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
MODELS = {
    "bert": lambda: BertModel(BertConfig(**SIZES)),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(**SIZES, local_attention=4, pad_token_id=0, cls_token_id=1, sep_token_id=2)
    ),
    "gpt2": lambda: GPT2Model(GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("own", ["eager", "sdpa"])
def test_a_model_gives_the_same_states_with_padding(name, own):
    torch.manual_seed(0)
    module = MODELS[name]().eval()
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[0, 5:] = 0
    mask[2, 1:] = 0
    batch = {"input_ids": torch.randint(3, 50, (3, 12)), "attention_mask": mask}
    AttentionInterface.register("plain_for_a_test", attention.make(MaskTape(0)))
    AttentionMaskInterface.register("plain_for_a_test", eager_mask)
    found = []
    for way in (own, "plain_for_a_test"):
        module.config._attn_implementation = way
        with torch.no_grad():
            found.append(module(**batch).last_hidden_state[mask.bool()])
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
