"""There and back with two plain checkpoints: a T5, and a Marian with its own SentencePiece tokenizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, MarianConfig, MarianMTModel, T5Config
from transformers import T5ForConditionalGeneration as T5

from graftlm.contracts import ahead, translating
from graftlm.contracts.augmentation import Scene
from graftlm.contracts.values import Example
from graftlm.core import cache, registry
from graftlm.core.errors import UserError

TEXTS = ["my card is lost", "where is the money", "我的卡丢了", "pay now, please"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    tokenizer = registry.make("backbone", {"use": "tiny", "architecture": "t5"}).open().tokenizer
    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, initializer_factor=2.0,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    T5(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    spm = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("marian")
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20), model_prefix=str(folder / "source"), vocab_size=60,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    model = (folder / "source.model").read_bytes()
    (folder / "source.spm").write_bytes(model)
    (folder / "target.spm").write_bytes(model)
    inner = spm.SentencePieceProcessor(model_proto=model)
    pieces = [
        "</s>",
        "<unk>",
        *(p for p in map(inner.id_to_piece, range(len(inner))) if not p.startswith("<")),
        "<pad>",
    ]
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "MarianTokenizer"}), encoding="utf-8")
    torch.manual_seed(4)
    parts = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    config = MarianConfig(
        vocab_size=len(pieces), d_model=32, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
        pad_token_id=len(pieces) - 1, eos_token_id=0, decoder_start_token_id=len(pieces) - 1, forced_eos_token_id=None,
        init_std=0.5, **parts,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(folder)
    return str(folder)


def make(there, back, **fields):
    return registry.make(
        "augmentation", {"use": "back_translation", "there": there, "back": back, "ratio": 1e4, **fields}
    )


def changed(one, texts=TEXTS, seed=0):
    return one.change_all(texts, [{}] * len(texts), np.random.default_rng(seed), Scene())


def plain(folder, text, prefix=""):
    """Translate one text greedily with Transformers alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    given = tokenizer([prefix + text], return_tensors="pt", return_token_type_ids=False)
    longest = min(63 if "marian" in folder else 512, 2 * given["input_ids"].shape[1] + 16)
    out = model.generate(**given, do_sample=False, num_beams=1, max_new_tokens=longest)
    return tokenizer.decode(out[0], skip_special_tokens=True).strip()


def test_greedy_translations_are_those_of_the_plain_models(t5, marian, monkeypatch):
    monkeypatch.setattr(translating, "BATCH_TOKENS", 1)  # each text alone, as the reference has it
    one = make(t5, marian, temperature=0, there_prefix="to x: ")
    assert one.check(Scene()) is None
    expected = []
    for text in TEXTS:
        middle = plain(t5, text, "to x: ")
        back = (
            plain(marian, middle)
            if middle and len(AutoTokenizer.from_pretrained(marian)(middle)["input_ids"]) <= 64
            else ""
        )
        expected.append(back or text)
    assert changed(one) == expected
    assert any(new != old for new, old in zip(expected, TEXTS, strict=True))


def test_draws_hang_on_the_seed_alone_and_copies_differ(t5):
    one = make(t5, t5, temperature=1.0)
    first = changed(one, ["my card is lost"] * 4)
    assert len(set(first)) > 2
    state = torch.random.get_rng_state()
    cache.clear()
    assert changed(one, ["my card is lost"] * 4) == first != changed(one, ["my card is lost"] * 4, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_stopped_run_goes_on_with_the_part_it_was_at(t5, monkeypatch):
    monkeypatch.setattr(ahead, "PART", 2)
    one = make(t5, t5, temperature=0)
    whole, calls = translating.Translator.__call__, []

    def stops(self, jobs):
        if len(calls) == 3:  # both parts there, one back
            raise KeyboardInterrupt
        calls.append([text for text, _ in jobs])
        return whole(self, jobs)

    monkeypatch.setattr(translating.Translator, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        changed(one)
    assert len(cache.entries()) == 3
    done = list(calls)
    calls.clear()
    found = changed(one)
    assert len(calls) == 1
    assert calls[0] not in done
    calls.clear()
    assert changed(one) == found
    assert calls == []
    cache.clear()
    monkeypatch.setattr(translating.Translator, "__call__", whole)
    assert changed(one) == found


def test_long_texts_labelled_places_and_what_does_not_come_back_stay(t5, caplog):
    one = make(t5, t5, temperature=0)
    assert changed(one, ["long " * 400, "", "  "]) == ["long " * 400, "", "  "]
    strict = make(t5, t5, temperature=0, ratio=1.0)
    assert changed(strict, ["x"]) == ["x"]
    task = registry.make("task", "tagging")
    row = Example("1", {"text": "in Rome now"}, [{"start": 3, "end": 7, "label": "LOC"}])
    caplog.set_level("INFO", logger="graftlm")
    assert len(list(one.expand_all([row], np.random.default_rng(0), Scene(marked=task.marked)))) == 1
    assert "1 texts have labelled places" in caplog.text


def test_other_models_and_too_many_equal_copies_are_refused(t5, tmp_path):
    with pytest.raises(UserError, match=r"encoder with a decoder .* 'tiny' \(bert\) is none"):
        make(t5, "tiny").check(Scene())
    with pytest.raises(ValueError, match="all copies would be the same"):
        make(t5, t5, temperature=0, copies=2)
    with pytest.raises(UserError, match="knows no language 'xx_XX'"):
        changed(make(t5, t5, language="xx_XX"))
    with pytest.raises(UserError, match="random weights"):
        changed(make({"use": "tiny", "architecture": "t5"}, t5))


def test_marian_without_sentencepiece_names_the_install_command(marian, monkeypatch):
    import transformers

    def lacking(*args, **kwargs):
        raise ImportError("MarianTokenizer requires the SentencePiece library")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lacking)
    with pytest.raises(UserError, match=r"pip install 'graftlm\[translation\]'"):
        make(marian, marian).check(Scene())
