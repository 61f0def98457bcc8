"""Synonyms from the user's own dictionary."""

from __future__ import annotations

import json

import numpy as np
import pytest

from graftlm.contracts import groups
from graftlm.contracts.augmentation import Scene
from graftlm.core import registry
from graftlm.core.errors import UserError


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_synonyms_by_lines_and_by_json(tmp_path):
    lines = tmp_path / "words.txt"
    lines.write_text("\ufeffcard, plastic\n钱，款\n", encoding="utf-8")
    one = make("synonyms", dictionary=str(lines), rate=1.0)
    assert one.change("Card and cardinal", rng()) == "Plastic and cardinal"
    assert one.change("我的钱", rng()) == "我的款"
    table = tmp_path / "words.json"
    table.write_text(json.dumps({"my": "our", "big": ["large"]}), encoding="utf-8")
    assert make("synonyms", dictionary=str(table), rate=1.0).change("my big card", rng()) == "our large card"


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "{bad", '{"a": 5}', '{"a": [["b"]]}'])
def test_a_dictionary_that_is_none_is_told(tmp_path, content):
    path = tmp_path / "words.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"words\.json"):
        make("synonyms", dictionary=str(path)).change("text", rng())


def test_words_of_any_alphabet_end_where_letters_end_and_chinese_ones_do_not(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("кот,кошка\nété,saison\nphone,mobile\n手机,电话\n", encoding="utf-8")
    synonyms = make("synonyms", dictionary=str(path), rate=1.0)
    for text, new in (
        ("который кот", "который кошка"),
        ("étéxyz été", "étéxyz saison"),
        ("买phone吧 phones", "买mobile吧 phones"),
        ("新手机壳", "新电话壳"),
    ):
        assert synonyms.change(text, rng()) == new


def test_what_is_wrong_with_a_dictionary_is_told_in_its_own_words(tmp_path):
    table, lines = tmp_path / "words.json", tmp_path / "words.txt"
    for content, said in (('{"a": 5}', "got 5 for 'a'"), ("[1]", "got a list")):
        table.write_text(content, encoding="utf-8")
        groups.read.cache_clear()
        with pytest.raises(UserError, match=said):
            make("synonyms", dictionary=str(table)).check(Scene())
    lines.write_bytes("好,坏".encode("gb18030"))
    with pytest.raises(UserError, match="not UTF-8.*Save it as UTF-8"):
        make("synonyms", dictionary=str(lines)).check(Scene())
