"""Patterns of published tokenizers pass; patterns that take exponential time do not."""

from __future__ import annotations

import pytest

from graftlm.bundle.patterns import explosive, regexes

PUBLISHED = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+",
    "xlm-roberta": r" {2,}",
    "bracket first": r"[]a]+[^]]*",
    "single letters": r"(?:ab)+c",
    "counted": r"(?:a{1,3}){2}",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_patterns_pass(name: str) -> None:
    assert explosive(PUBLISHED[name]) is None


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+", r"(a*)*b", r"(?:a|aa)+$", r"((a+)b?)+", r"(a{2,}){3,}", r"(x(y+)z)*", r"(a)\1", r"(?:a{1,}){1,1000}"],
)
def test_exponential_patterns_do_not(pattern: str) -> None:
    assert explosive(pattern) is not None


def test_too_long_patterns_do_not() -> None:
    assert explosive("a" * 20_001) == "it has 20001 characters"


def test_words_of_the_vocabulary_are_no_patterns() -> None:
    tree = {"normalizer": [{"pattern": {"Regex": "a"}}], "model": {"vocab": {"Regex": 3}, "x": {"Regex": "(a+)+"}}}
    assert regexes(tree) == ["a"]
