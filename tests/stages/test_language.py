"""The language of the rows against that of the base model: named where it is foreign, quiet where it is not."""

from __future__ import annotations

import logging
from dataclasses import replace

import pyarrow as pa
import pytest

from graftlm.contracts.rows import Rows
from graftlm.core import registry
from graftlm.stages.language import check_language, scripts

CHINESE = "这家酒店的房间很干净，服务也很好，下次还会再来"
ENGLISH = "The rooms of this hotel are clean and the service is good"


def rows(texts: list[str]) -> Rows:
    table = pa.table({"text": texts, "label": ["a"] * len(texts), "id": [str(n) for n in range(len(texts))]})
    return Rows("train", table, "label", "0")


@pytest.fixture(scope="module")
def base():
    found = registry.make("backbone", "tiny").open()
    return found.tokenizer, replace(found.card, languages=("en",), pretrained=True)


def codes(texts, base) -> list[str]:
    tokenizer, card = base
    return [finding.code for finding in check_language(rows(texts), ["text"], card, tokenizer)]


def test_scripts_are_counted_by_letter():
    found = scripts([CHINESE[:4], "ab c1"])
    assert sorted(found.values()) == [3, 4]


def test_another_script_than_the_models_is_named(base):
    assert "language" in codes([CHINESE] * 5, base)
    assert "language" not in codes([ENGLISH] * 5, base)
    # a name here and there is no other language
    assert "language" not in codes([ENGLISH] * 9 + [CHINESE], base)


def test_a_random_model_knows_no_language(base):
    tokenizer, card = base
    card = replace(card, languages=(), pretrained=False)
    assert check_language(rows([CHINESE]), ["text"], card, tokenizer) == []


def test_a_text_longer_than_the_model_is_no_matter_for_the_log(base, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        codes([ENGLISH * 300], base)
    assert not caplog.records
