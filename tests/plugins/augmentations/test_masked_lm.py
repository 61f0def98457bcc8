"""Words that a masked language model fills in: held against Transformers' own fill-mask pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast, pipeline

from graftlm.contracts.augmentation import Scene
from graftlm.contracts.values import Example
from graftlm.core import cache, registry
from graftlm.core.errors import UserError
from graftlm.nn import filling

LATIN = "my your card cash money bank is was lost here there in now"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LATIN.split(), *"我的卡丢了你银行钱", "20", ",", "##s"]


def tokenizer():
    inner = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, mask_token="[MASK]", model_max_length=32, **names)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.setattr(filling, "choose", lambda precision, device: (torch.float32, "as the reference"))


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, initializer_range=0.4,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "masked")
    tokenizer().save_pretrained(tmp_path / "masked")
    return str(tmp_path / "masked")


def make(model, **fields):
    return registry.make("augmentation", {"use": "masked_lm", "model": model, **fields})


def changed(one, texts, seed=0, shown=None):
    return one.change_all(texts, shown or [{}] * len(texts), np.random.default_rng(seed), Scene())


def test_the_likeliest_word_is_that_of_the_fill_mask_pipeline(checkpoint):
    fill = pipeline("fill-mask", model=checkpoint, device="cpu", top_k=len(WORDS))
    texts = ["my", "Card", "card is lost", "我"]
    for text in texts:
        one = make(checkpoint, top=1, rate=0.01)
        got = changed(one, [text])[0]
        at = next(n for n, (a, b) in enumerate(zip(text.split(), got.split(), strict=True)) if a != b)
        parts = text.split()
        stood, parts[at] = parts[at], "[MASK]"
        best = [each["token_str"] for each in fill(" ".join(parts))]
        words = [w for w in best if w.isalpha() and (w in "我的卡丢了你银行钱") == (stood in "我的卡丢了你银行钱")]
        expected = next(word for word in words if word != stood.lower())
        assert got.split()[at] == (expected.capitalize() if stood[0].isupper() else expected)


def test_draws_are_by_probability_and_by_the_seed(checkpoint):
    one = make(checkpoint, top=3, rate=0.01)
    many = changed(one, ["money"] * 400)
    fill = pipeline("fill-mask", model=checkpoint, device="cpu", top_k=len(WORDS))
    told = {each["token_str"]: each["score"] for each in fill("[MASK]")}
    words = [w for w in told if w.isascii() and w.isalpha() and w != "money"][:3]
    total = sum(told[w] for w in words)
    assert set(many) <= set(words)
    for word in words:
        assert many.count(word) / 400 == pytest.approx(told[word] / total, abs=0.08)  # 3 deviations of 400 draws
    assert changed(one, ["money"] * 400) == many != changed(one, ["money"] * 400, seed=1)


def test_only_whole_words_change_and_numbers_stay(checkpoint):
    text = "My card, 20 is lost"
    for seed in range(8):
        new = changed(make(checkpoint, rate=1.0), [text], seed)[0]
        assert new != text
        assert new.split()[1].endswith(",")
        assert new.split()[2] == "20"
        assert new[0].isupper()
        assert len(new.split()) == 5
    assert changed(make(checkpoint), ["20 ,", ""]) == ["20 ,", ""]


def test_what_is_cut_off_stays(checkpoint):
    text = " ".join(["card"] * 60)
    new = changed(make(checkpoint, rate=1.0), [text])[0].split()
    assert new[30:] == ["card"] * 30
    assert "card" not in new[:30]


def test_a_second_time_it_comes_from_the_cache(checkpoint, monkeypatch):
    texts = ["my card is lost", "我的卡丢了"]
    first = changed(make(checkpoint), texts)
    monkeypatch.setattr(filling, "likeliest", lambda *args, **kwargs: pytest.fail("asked again"))
    assert changed(make(checkpoint), texts) == first
    assert [entry.kind for entry in cache.entries()] == ["masked"]


def test_entities_are_seen_and_stay(checkpoint, monkeypatch):
    seen = []
    inner = filling.likeliest
    monkeypatch.setattr(
        filling, "likeliest", lambda m, t, texts, *r, **k: seen.extend(texts) or inner(m, t, texts, *r, **k)
    )
    task = registry.make("task", "tagging")
    row = Example("1", {"text": "my bank is here"}, [{"start": 3, "end": 7, "label": "ORG"}])
    one = make(checkpoint, rate=1.0)
    _, copy = one.expand_all([row], np.random.default_rng(0), Scene(marked=task.marked))
    assert seen == ["[MASK] bank [MASK] [MASK]"]
    assert task.truth(copy) == ["O", "B-ORG", "O", "O"]
    assert copy.fields["text"].split()[1] == "bank"


def test_checkpoints_without_the_head_are_told(tmp_path, checkpoint):
    config = BertConfig.from_pretrained(checkpoint)
    BertModel(config).save_pretrained(tmp_path / "bare")
    tokenizer().save_pretrained(tmp_path / "bare")
    with pytest.raises(UserError, match="was saved as BertModel"):
        make(str(tmp_path / "bare")).check(Scene())
    BertModel(config).save_pretrained(tmp_path / "lying")
    tokenizer().save_pretrained(tmp_path / "lying")
    path = tmp_path / "lying" / "config.json"
    path.write_text(path.read_text().replace('"BertModel"', '"BertForMaskedLM"'))
    with pytest.raises(UserError, match=r"lack \d+ fitting tensors of BertForMaskedLM, such as 'cls"):
        changed(make(str(tmp_path / "lying")), ["my card"])
    with pytest.raises(UserError, match="random weights"):
        changed(make("tiny"), ["my card"])
    with pytest.raises(UserError, match="does not exist"):
        make("./nowhere").check(Scene())
