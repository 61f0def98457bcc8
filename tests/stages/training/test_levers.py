"""Levers: they change the speed, not the result, and everything is put back."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

from graftlm.contracts.values import Score
from graftlm.core.errors import UserError
from graftlm.nn.dropout import TapeDropout
from graftlm.nn.vocabulary import WorkingEmbedding
from graftlm.stages.training.levers import Levers, pull
from graftlm.stages.training.loop import Loop

TABLE = "encoder.embeddings.word_embeddings"
BACKBONES = {
    "bert": {"use": "scratch", "layers": 2, "width": 32, "max_length": 64},
    "modernbert": {"use": "scratch", "architecture": "modernbert", "layers": 2, "width": 32, "max_length": 64},
    "gpt2": {"use": "scratch", "architecture": "gpt2", "layers": 2, "width": 32, "max_length": 64},
}


def kinds(module):
    return [(name, type(part)) for name, part in module.named_modules()]


def close(first, second, atol=1e-6):
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=atol, rtol=0, msg=lambda text, n=name: f"{n} {text}")


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_with_the_working_vocabulary_equals_training_without_it(setup, backbone, optimizer):
    runs = []
    for lever in (True, False):
        made = setup(BACKBONES[backbone], dropout=0.0)
        made.train(steps=8, rate=1e-3, optimizer=optimizer, working_vocabulary=lever)
        runs.append(made.weights())
    close(*runs)


def test_with_it_only_rows_of_the_text_train_and_all_come_back(setup, caplog):
    made = setup()
    before = made.weights()[f"{TABLE}.weight"]
    with caplog.at_level(logging.INFO, "graftlm"):
        loop = Loop(made.job(), made.section(working_vocabulary=True), made.accelerator)
    used = made.data.packed.vocabulary()
    working = made.model.module.get_submodule(TABLE)
    assert isinstance(working, WorkingEmbedding)
    assert set(used) <= set(working.kept.tolist())
    assert len(working.weight) <= len(used) + 1 < 60
    assert f"working vocabulary: {len(working.weight)} of 261 embedding rows train" in caplog.text
    for _ in range(3):
        loop.update()
    loop.close()
    after = made.weights()[f"{TABLE}.weight"]
    moved = (after != before).any(dim=1).nonzero()[:, 0].tolist()
    assert after.shape == (261, 32)
    assert moved == used.tolist()
    assert type(made.model.module.get_submodule(TABLE)) is nn.Embedding


def test_text_with_other_tokens_is_answered_while_training(setup):
    made = setup(dropout=0.0)
    ids = made.model.tokenizer(["ZÜRICH 9", "日本"], padding=True, return_tensors="pt")
    before = made.model.module.eval()(**ids).logits
    seen = []

    def judge(model):
        seen.append(model.module.eval()(**ids).logits)
        return Score(0.0)

    made.train(steps=4, rate=1e-12, working_vocabulary=True, job={"judge": judge})
    torch.testing.assert_close(seen[0], before, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "job", "reason"),
    [
        ({"optimizer": "adafactor"}, {}, "the optimizer 'adafactor' is not element-wise"),
        ({}, {"augmented": True}, "other text than the training rows reaches the model"),
        ({}, {"other_text": True}, "other text than the training rows reaches the model"),
    ],
)
def test_where_it_would_not_be_exact_it_is_off_and_the_log_says_why(setup, caplog, changes, job, reason):
    made = setup()
    with caplog.at_level(logging.INFO, "graftlm"):
        loop = Loop(made.job(**job), made.section(working_vocabulary=True, **changes), made.accelerator)
    assert f"working vocabulary: off, because {reason}" in caplog.text
    assert type(made.model.module.get_submodule(TABLE)) is nn.Embedding
    loop.close()


def test_dropout_comes_from_the_tape_while_training_and_plain_modules_come_back(setup):
    made = setup(dropout=0.25)
    plain = kinds(made.model.module)
    loop = Loop(made.job(), made.section(fast_dropout=True), made.accelerator)
    swapped = [part for part in made.model.module.modules() if isinstance(part, TapeDropout)]
    assert len(swapped) == sum(kind is nn.Dropout for _, kind in plain)
    assert {part.p for part in swapped} == {0.25}
    assert len({id(part.tape) for part in swapped}) == 1
    assert not any(type(part) is nn.Dropout for part in made.model.module.modules())
    loop.close()
    assert kinds(made.model.module) == plain


@pytest.mark.parametrize("own", ["eager", "sdpa"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_with_plain_attention_equals_training_without_it(setup, backbone, own):
    runs = []
    for lever in (True, False):
        made = setup(BACKBONES[backbone], dropout=0.0)
        made.model.module.config._attn_implementation = own
        # one step: Adam turns rounding of a gradient that is nearly nought into a step of full size
        made.train(steps=3, rate=1e-2, optimizer={"use": "sgd"}, fast_dropout=lever)
        assert made.model.module.config._attn_implementation == own
        runs.append(made.weights())
    close(*runs, atol=1e-5)


def test_plain_attention_is_in_use_while_training(setup):
    made = setup()
    loop = Loop(made.job(), made.section(fast_dropout=True), made.accelerator)
    assert made.model.module.config._attn_implementation.startswith("graftlm_tape")
    loop.close()
    assert made.model.module.config._attn_implementation == "sdpa"


def test_attention_that_differs_is_put_back(setup, monkeypatch, caplog):
    made = setup()
    monkeypatch.setattr(
        "graftlm.nn.attention.make", lambda tape: lambda module, q, k, v, mask, **_: (0 * v.transpose(1, 2), None)
    )
    levers = Levers(made.model, seed=0)
    levers.plain_attention(made.data.packed.batch([0, 1], 0))
    assert made.model.module.config._attn_implementation == "sdpa"
    assert levers.undo == []
    assert "plain products" not in caplog.text


def test_attention_that_fails_is_put_back_and_said(setup, monkeypatch, caplog):
    def broken(tape):
        def attend(*args, **kwargs):
            raise RuntimeError("shapes")

        return attend

    made = setup()
    monkeypatch.setattr("graftlm.nn.attention.make", broken)
    with caplog.at_level(logging.INFO, "graftlm"):
        Levers(made.model, seed=0).plain_attention(made.data.packed.batch([0, 1], 0))
    assert made.model.module.config._attn_implementation == "sdpa"
    assert "the model's own kernel is kept (RuntimeError" in caplog.text


def test_long_texts_keep_the_models_own_attention(setup):
    made = setup()
    made.data.packed.offsets = made.data.packed.offsets * 100
    loop = Loop.__new__(Loop)
    loop.job, loop.section, loop.levers = made.job(), made.section(fast_dropout=True), Levers(made.model, 0)
    loop.module, loop.device, loop.needs, loop.pad = made.model.module, torch.device("cpu"), set(), 0
    loop.lengths = np.diff(made.data.packed.offsets)
    pull(loop)
    assert made.model.module.config._attn_implementation == "sdpa"
    loop.levers.release()


def test_everything_is_put_back_after_a_fault_at_the_start(setup):
    made = setup()
    plain, own = kinds(made.model.module), made.model.module.config._attn_implementation
    for parameter in made.model.module.parameters():
        parameter.requires_grad_(False)
    made.model.module.get_submodule(TABLE).weight.requires_grad_(True)

    class Broken(type(made.section().optimizer)):
        def build(self, groups, rate):
            raise UserError("no such optimizer here")

    with pytest.raises(UserError, match="no such optimizer"):
        made.train(fast_dropout=True, working_vocabulary=True, optimizer=Broken())
    assert kinds(made.model.module) == plain
    assert made.model.module.config._attn_implementation == own


def test_everything_is_put_back_after_a_fault_on_the_way(setup):
    made = setup()
    plain, own = kinds(made.model.module), made.model.module.config._attn_implementation

    def judge(model):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.train(steps=8, fast_dropout=True, working_vocabulary=True, job={"judge": judge})
    assert kinds(made.model.module) == plain
    assert made.model.module.config._attn_implementation == own


def test_the_tape_is_freed(setup):
    made = setup(dropout=0.1)
    loop = Loop(made.job(), made.section(fast_dropout=True), made.accelerator)
    loop.modes()
    loop.update()
    assert loop.levers.tape.tapes
    loop.close()
    assert not loop.levers.tape.tapes
