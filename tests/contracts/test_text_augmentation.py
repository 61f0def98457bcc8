"""Augmentations of texts: what they keep, what they change, and that nothing is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_pipeline import QUICK, TEST, TRAIN

from graftlm.contracts.augmentation import units
from graftlm.contracts.values import Example
from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.verbs.fitting import fit

FREE = ("casing", "full_width", "typos", "word_delete", "word_insert", "word_swap")
ENGLISH, CHINESE = "please transfer 20 euros to my other card", "我想把钱转到另一张卡，谢谢"


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


@given(st.text())
def test_units_are_the_text(text):
    assert "".join(units(text)) == text


def test_units_are_words_and_chinese_characters():
    assert units("Pay 钱吧 now") == ["Pay", " ", "钱", "吧", " ", "now"]


@pytest.mark.parametrize("name", FREE)
@given(text=st.text(), seed=st.integers(0, 99))
def test_any_text_gives_a_text_and_the_same_seed_the_same(name, text, seed):
    one = make(name, rate=0.5)
    assert isinstance(one.change(text, rng(seed)), str)
    assert one.change(text, rng(seed)) == one.change(text, rng(seed))


@pytest.mark.parametrize("name", FREE)
def test_the_example_stays_and_copies_differ(name):
    given_one = Example("7", {"text": ENGLISH}, "card", "a.csv:8")
    made = list(make(name, copies=3, rate=0.3).expand(given_one, rng()))
    assert made[0] is given_one
    assert len(made) == 4
    for copy in made[1:]:
        assert copy.fields["text"] != ENGLISH
        assert (copy.target, copy.where) == ("card", "a.csv:8")
    assert len({copy.id for copy in made}) == 4


@pytest.mark.parametrize("name", FREE)
def test_without_keep_no_row_is_lost(name):
    empty = Example("7", {"text": ""}, "card")
    assert list(make(name, keep=False, copies=2).expand(empty, rng())) == [empty]


@pytest.mark.parametrize("name", ["word_delete", "word_swap", "word_insert"])
def test_chinese_is_changed_by_characters(name):
    changed = make(name, rate=0.3).change(CHINESE, rng())
    assert changed != CHINESE
    assert set(changed) <= set(CHINESE)
    assert " " not in changed


def test_truths_that_name_places_are_refused():
    spans = Example("1", {"text": ENGLISH}, [{"start": 0, "end": 6, "label": "X"}], "a.jsonl:1")
    with pytest.raises(UserError, match=r"a\.jsonl:1"):
        list(make("word_swap").expand(spans, rng()))


def test_a_fit_trains_on_more_rows_and_judges_on_the_given_ones(tmp_path):
    settings = {**QUICK["settings"], "augmentations": ["word_delete", {"use": "typos", "copies": 2}]}
    run = fit(TRAIN, test=TEST, out=str(tmp_path / "run"), **{**QUICK, "settings": settings, "baselines": "none"})
    assert run.metrics["primary"]["n"] == len(TEST)
    kept = (run.folder / "recipe.yaml").read_text()
    assert "word_delete" in kept
    last = json.loads((run.folder / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] > 2 * len(TRAIN) / QUICK["batch_size"]  # more steps than two epochs of the rows alone have


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"use": "synonyms", "dictionary": "nowhere.txt"}, r"nowhere\.txt"),
        ("synonyms", "needs the field 'dictionary', which was not given"),
        ({"use": "neighbours", "vectors": "nowhere.vec"}, r"nowhere\.vec"),
        ({"use": "masked_lm", "model": {"use": "tiny", "architecture": "gpt2"}}, "masked_lm"),
        ({"use": "back_translation", "there": "tiny", "back": "tiny"}, "encoder with a decoder"),
    ],
)
def test_what_an_option_names_is_looked_at_before_training(given, words, tmp_path):
    from graftlm.verbs.checking import check

    settings = {"augmentations": [given]}
    with pytest.raises(UserError, match=words):
        check(TRAIN, settings=settings)
    with pytest.raises(UserError, match=words):
        fit(TRAIN, out=str(tmp_path / "run"), **{**QUICK, "settings": settings})
    assert not (tmp_path / "run").exists()
