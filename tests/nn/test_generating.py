"""Searching for answers and the likelihood of texts, against Transformers and a plain loop."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry
from graftlm.nn.generating import Search, likelihoods, search, to_the_right


@pytest.fixture(scope="module")
def gpt2():
    base = registry.make("backbone", {"use": "tiny", "architecture": "gpt2"}).open()
    module = base.build("AutoModelForCausalLM").eval()
    with torch.no_grad():
        module.lm_head.weight.mul_(40)  # answers that differ
    return base, module


def batch(base, texts, side):
    ids = [base.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    base.tokenizer.padding_side = side
    return base.tokenizer.pad({"input_ids": ids}, return_tensors="pt")


TEXTS = ["a cat", "two dogs and more", "x", "今天"]


def test_padding_moves_to_the_front(gpt2):
    base, _ = gpt2
    right, left = (batch(base, TEXTS, side) for side in ("right", "left"))
    for given in (right, left):
        ids, mask = to_the_right(given["input_ids"], given["attention_mask"])
        assert torch.equal(ids, left["input_ids"])
        assert torch.equal(mask, left["attention_mask"])


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_among_others_is_answered_as_alone(gpt2, beams):
    base, module = gpt2
    given = batch(base, TEXTS, "left")
    how = Search(beams, 9, shortest=3, no_repeat=2)
    together = search(module, given["input_ids"], given["attention_mask"], how)
    ends = module.generation_config.eos_token_id
    for text, found in zip(TEXTS, together, strict=True):
        ids = base.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        (alone,) = search(module, ids, torch.ones_like(ids), how)
        assert found.tolist() == alone.tolist()
        assert 3 <= len(found) <= 9
        assert ends not in found[:-1].tolist()
        pairs = list(zip(found.tolist(), found.tolist()[1:], strict=False))
        assert len(set(pairs)) == len(pairs)


def test_the_likeliest_token_is_taken_at_each_step(gpt2):
    base, module = gpt2
    ids = base.tokenizer("a cat", add_special_tokens=False, return_tensors="pt")["input_ids"]
    (found,) = search(module, ids, torch.ones_like(ids), Search(1, 6))
    with torch.no_grad():
        for token in found.tolist():
            assert int(module(input_ids=ids).logits[0, -1].argmax()) == token
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_likelihoods_are_those_of_single_rows(gpt2, side, monkeypatch):
    base, module = gpt2
    monkeypatch.setattr("graftlm.nn.generating.LOGITS", 261 * 30)  # two rows at a time, at most
    given = batch(base, TEXTS, side)
    with torch.no_grad():
        for start in (1, 3):
            texts = [base.tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
            more = [[9, 8, 7][:n] for n in (1, 3, 2, 0)]
            if start == 1:
                found = likelihoods(module, given["input_ids"], given["attention_mask"])
                more = [[] for _ in texts]
            else:
                padded = batch(base, ["", "", "", ""], side)
                ids = torch.zeros(4, 3, dtype=torch.long)
                mask = torch.zeros(4, 3, dtype=torch.long)
                for row, tokens in enumerate(more):
                    ids[row, : len(tokens)], mask[row, : len(tokens)] = torch.tensor(tokens), 1
                assert padded["input_ids"].shape[1] == 0
                found = likelihoods(module, given["input_ids"], given["attention_mask"], ids, mask)
            for text, rest, (nll, count) in zip(texts, more, found, strict=True):
                whole = torch.tensor([text + rest])
                first = 1 if start == 1 else len(text)
                logs = module(input_ids=whole).logits[0].log_softmax(-1)
                own = [-logs[n - 1, whole[0, n]].item() for n in range(first, whole.shape[1])]
                assert count == len(own)
                assert nll == pytest.approx(sum(own), abs=1e-3)


def test_nothing_after_has_no_likelihood(gpt2):
    base, module = gpt2
    given = batch(base, TEXTS, "right")
    none = torch.zeros(4, 0, dtype=torch.long)
    assert likelihoods(module, given["input_ids"], given["attention_mask"], none, none) == [(0.0, 0.0)] * 4
