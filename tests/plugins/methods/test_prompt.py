"""Prompt tuning: learned vectors before the words of each text, the base frozen."""

from __future__ import annotations

import copy
import dataclasses

import peft
import pytest
import torch
from tests.virtual import batch, padding_changes_nothing

from graftlm.core import registry
from graftlm.nn import prompts


def method(**fields):
    return registry.make("method", {"use": "prompt", **fields})


@pytest.fixture(params=["pooled", "native", "bert", "modernbert", "gpt2"])
def kind(request):
    scratch = {"use": "scratch", "layers": 3, "width": 32, "max_length": 64}
    return {
        "pooled": "tiny",
        "native": {"use": "tiny", "pooling": "native"},
        "bert": {**scratch, "architecture": "bert", "pooling": "native"},
        "modernbert": {**scratch, "architecture": "modernbert"},
        "gpt2": {"use": "tiny", "architecture": "gpt2"},
    }[request.param]


def test_states_are_those_that_peft_gives_behind_its_virtual_tokens(prepare, kind):
    made = prepare(kind, dropout=0.0)
    base = made.model.module.get_submodule(made.model.base)
    plain = copy.deepcopy(base).eval()
    method(tokens=5).apply(made.model, made.setting)
    inputs = {k: v for k, v in batch(made, [0, 1, 2, 3]).items() if k != "token_type_ids"}
    config = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=5)
    wrapped = peft.get_peft_model(plain, config).eval()
    with torch.no_grad():
        wrapped.prompt_encoder["default"].embedding.weight.copy_(prompts.inside(base).vectors())
        theirs = wrapped(**inputs).last_hidden_state
        own = base.eval()(**inputs).last_hidden_state
    assert own.shape[1] == inputs["input_ids"].shape[1] == theirs.shape[1] - 5
    torch.testing.assert_close(own, theirs[:, 5:], atol=1e-6, rtol=1e-6)


def test_padding_changes_no_answer(prepare, kind):
    """Heads that look for the last or the first token, and pooling over a mask, still find those of the text."""
    made = prepare(kind, dropout=0.0)
    method(tokens=5).apply(made.model, made.setting)
    padding_changes_nothing(made)


def test_the_pooler_of_bert_reads_the_first_token_of_the_text(prepare):
    made = prepare({"use": "scratch", "architecture": "bert", "layers": 2, "width": 32, "pooling": "native"})
    method(tokens=3).apply(made.model, made.setting)
    base = made.model.module.get_submodule(made.model.base).eval()
    with torch.no_grad():
        found = base(**batch(made, [0]))
        torch.testing.assert_close(found.pooler_output, base.pooler(found.last_hidden_state))


def test_only_virtual_tokens_and_the_head_train_and_the_base_is_untouched(prepare):
    made = prepare("tiny")
    before = made.weights()
    adaptation = method(tokens=4).apply(made.model, made.setting)
    trains = {name for name, p in made.model.module.named_parameters() if p.requires_grad}
    assert trains == {"encoder.virtual_tokens.encoder.weight", "head.weight", "head.bias"}
    assert adaptation.rates == {"encoder.virtual_tokens.encoder.weight": 50.0}
    start = prompts.inside(made.model.module.encoder).vectors().detach().clone()
    words = before["encoder.embeddings.word_embeddings.weight"]
    assert all(bool((words == row).all(1).any()) for row in start)  # each starts as a word
    made.train(steps=3, job={"adaptations": [adaptation]})
    after = made.weights()
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("head."))
    assert not torch.equal(prompts.inside(made.model.module.encoder).vectors(), start)


def test_more_tokens_than_words_start_at_words_again(prepare):
    made = prepare("tiny")
    count = made.model.module.encoder.get_input_embeddings().weight.shape[0]
    assert method(tokens=1000).make(made.model).vectors().shape[0] == 1000 > count


def test_random_starts_are_as_wide_as_words(prepare):
    made = prepare("tiny")
    words = made.model.module.encoder.get_input_embeddings().weight.detach()
    vectors = method(tokens=1000, start="random").make(made.model).vectors().detach()
    assert float(vectors.std() / words.std()) == pytest.approx(1.0, abs=0.05)


def test_what_cannot_be_is_refused(prepare):
    made = prepare("tiny")
    assert method().refuses(made.model, made.setting) is None
    assert "cannot be merged" in method(merge=True).refuses(made.model, made.setting)
    two = dataclasses.replace(made.setting, methods=("prompt", "lora"))
    assert "only one kind" in method().refuses(made.model, two)
    assert "only one kind" in registry.make("method", "lora").refuses(made.model, two)
    long = dataclasses.replace(made.setting, limit=128)
    assert "backbone.max_length to at most 108" in method().refuses(made.model, long)
    several = dataclasses.replace(made.model, base="tasks.one.encoder")
    assert "several tasks" in method().refuses(several, made.setting)


def test_models_that_write_are_refused(prepare):
    made = prepare({"use": "tiny", "architecture": "gpt2"})
    writing = dataclasses.replace(made.setting, task=registry.make("task", "generation"))
    assert "token by token" in method().refuses(made.model, writing)


def test_copies_have_virtual_tokens_of_their_own(prepare):
    made = prepare("tiny", dropout=0.0)
    method(tokens=4).apply(made.model, made.setting)
    twin = copy.deepcopy(made.model.module).eval()
    inputs = batch(made, [0, 1])
    with torch.no_grad():
        before = made.model.module.eval()(**inputs).logits
        prompts.inside(twin.encoder).encoder.weight.add_(1.0)
        assert torch.equal(made.model.module(**inputs).logits, before)
        assert not torch.equal(twin(**inputs).logits, before)
        with prompts.lifted(twin):
            assert prompts.inside(twin.encoder) is None
            plain = twin(**inputs).logits
        assert not torch.equal(twin(**inputs).logits, plain)
