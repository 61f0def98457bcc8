"""Prefix tuning: learned keys and values before those of the text in each block, the base frozen."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from tests.virtual import batch, padding_changes_nothing
from transformers import LlamaConfig, LlamaModel

from graftlm.contracts.model import Model
from graftlm.core import registry
from graftlm.nn import prompts

KINDS = {
    "pooled": "tiny",
    "native": {"use": "tiny", "pooling": "native"},
    "gpt2": {"use": "tiny", "architecture": "gpt2"},
}


def method(**fields):
    return registry.make("method", {"use": "prefix", **fields})


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_those_that_peft_gives(prepare, kind):
    made = prepare(KINDS[kind], dropout=0.0)
    base = made.model.module.get_submodule(made.model.base)
    plain = copy.deepcopy(base).eval()
    method(tokens=5).apply(made.model, made.setting)
    inputs = {k: v for k, v in batch(made, [0, 1, 2, 3]).items() if k != "token_type_ids"}
    config = peft.PrefixTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=5)
    wrapped = peft.get_peft_model(plain, config).eval()
    with torch.no_grad():
        prompts.inside(base).encoder.weight.mul_(30)
        wrapped.prompt_encoder["default"].embedding.weight.copy_(prompts.inside(base).vectors())
        theirs = wrapped(**inputs).last_hidden_state
        own = base.eval()(**inputs).last_hidden_state
    torch.testing.assert_close(own, theirs, atol=1e-6, rtol=1e-6)


def test_one_block_of_attention_is_the_formula(prepare):
    """The first block of BERT by hand: softmax over prefix and text, positions counted on behind the prefix."""
    made = prepare({"use": "tiny", "layers": 1}, dropout=0.0)
    method(tokens=3).apply(made.model, made.setting)
    base = made.model.module.encoder.eval()
    with torch.no_grad():
        base.virtual_tokens.encoder.weight.mul_(30)
        inputs = batch(made, [0])
        caught = []
        hook = base.encoder.layer[0].attention.self.register_forward_hook(lambda m, a, out: caught.append(out[0]))
        base(**inputs)
        hook.remove()
        part = base.encoder.layer[0].attention.self
        states = base.embeddings(input_ids=inputs["input_ids"], past_key_values_length=3)[0]
        heads, width = part.num_attention_heads, part.attention_head_size
        keys, values = base.virtual_tokens.vectors().view(3, 2, heads, width).unbind(1)
        q, k, v = (layer(states).view(-1, heads, width) for layer in (part.query, part.key, part.value))
        k, v = torch.cat([keys, k]), torch.cat([values, v])
        shares = torch.einsum("qhd,khd->hqk", q, k).div(width**0.5).softmax(-1)
        expected = torch.einsum("hqk,khd->qhd", shares, v).reshape(len(q), -1)
    torch.testing.assert_close(caught[0][0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_answer(prepare, kind):
    made = prepare(KINDS[kind], dropout=0.0)
    method(tokens=5).apply(made.model, made.setting)
    padding_changes_nothing(made)


def test_heads_that_share_keys_and_values_have_prefixes_as_wide_as_these(prepare):
    made = prepare("tiny")
    config = LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    base = LlamaModel(config).eval()
    card = made.model.card
    model = Model(base, None, card, "native", "", None, "AutoModel")
    tokens = method(tokens=3).make(model)
    assert tokens.vectors().shape == (3, 2 * 2 * 2 * 8)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        before = base(input_ids=ids).last_hidden_state
        prompts.attach(base, tokens)
        after = base(input_ids=ids).last_hidden_state
    assert after.shape == before.shape
    assert not torch.equal(after, before)


def test_only_the_prefix_and_the_head_train(prepare):
    made = prepare("tiny")
    before = made.weights()
    adaptation = method(tokens=4).apply(made.model, made.setting)
    assert adaptation.rates == {"encoder.virtual_tokens.encoder.weight": 25.0}
    made.train(steps=3, job={"adaptations": [adaptation]})
    after = made.weights()
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("head."))


def test_an_architecture_without_past_keys_and_values_is_refused(prepare):
    made = prepare({"use": "scratch", "architecture": "modernbert", "layers": 2, "width": 32, "max_length": 64})
    assert "past_key_values" in method().refuses(made.model, made.setting)
    assert "take prompt" in method().refuses(made.model, made.setting)


def test_what_cannot_be_is_refused(prepare):
    made = prepare("tiny")
    assert "cannot be merged" in method(merge=True).refuses(made.model, made.setting)
    assert method().refuses(made.model, made.setting) is None
