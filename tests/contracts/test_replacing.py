"""Whole words: which of a text may change, how casing stays, and which tokens are words."""

from __future__ import annotations

import pytest
from tests.tiny import tokenizer

from graftlm.contracts import replacing
from graftlm.core import registry


def words(text, known=()):
    return [text[a:b] for a, b in replacing.replaceable(text, known)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pay 20 euros, now.", ["Pay", "euros", "now"]),
        ("don't use state-of-the-art x86 at a.com", ["use", "at"]),
        ("see \U000f0000ers in Rome", ["see", "in", "Rome"]),
        ("ひらがな ภาษา Ёлка", ["Ёлка"]),
        ("end. Begin", ["end", "Begin"]),
    ],
)
def test_words_that_may_change(text, expected):
    assert words(text) == expected


def test_chinese_words_are_the_longest_that_are_known():
    assert words("我在银行付款3次", {"银行", "付款", "银"}) == ["我", "在", "银行", "付款", "次"]


def test_casing_is_that_of_the_word():
    assert [replacing.cased("pay", like) for like in ("SEND", "Send", "send", "A")] == ["PAY", "Pay", "pay", "Pay"]


def test_words_are_put_in_their_places():
    assert replacing.put("one two three", [(0, 3), (8, 13)], ["1", "3"]) == "1 two 3"


def test_a_word_tokenizer_has_words_and_bytes_have_none():
    found = replacing.whole_words(tokenizer())
    assert set(found) == set("好坏书看的很是不我买")  # w0, w1, ... end in numbers
    assert all(tokenizer().convert_ids_to_tokens(number) == word for word, number in found.items())
    assert len(replacing.whole_words(registry.make("backbone", "tiny").open().tokenizer)) <= 26  # letters by themselves


@pytest.mark.model
def test_pieces_signs_and_numbers_are_no_words():
    found = replacing.whole_words(registry.make("backbone", "minilm").open().tokenizer)
    assert {"money", "card", "a"} <= set(found)
    assert not {"##ing", "ing", "2020", "[mask]", "Money", ","} & set(found) - {"ing"}
    assert len(found) > 20_000
