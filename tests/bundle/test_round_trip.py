"""A live model, its bundle, and the plain libraries give the same logits for the same labels."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from graftlm.bundle import Bundle, find, load, open_bundle, write
from graftlm.bundle.writing import without_paths
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.core.errors import BundleError
from graftlm.prediction import Predictor

LABELS = ("差评", "好评", 'a label, with "quotes"', "vocab_file", "/root", "0")
CASES = [
    ("native", "mean", "bert"), ("native", "mean", "roberta"),
    ("pooled", "mean", "bert"), ("pooled", "cls", "bert"), ("pooled", "max", "bert"),
]  # fmt: skip


def _examples(texts: list[str], pair: bool = False) -> list[Example]:
    return [
        Example(str(n), {"text": text, **({"text_pair": texts[-n]} if pair else {})}) for n, text in enumerate(texts)
    ]


def _logits(predictor: Predictor, examples: list[Example]) -> np.ndarray:
    return np.stack(predictor.pieces(predictor.encode(examples)))


def _written(folder: Path, tiny, style: str, pooling: str, kind: str, labels=LABELS, **facts) -> tuple:
    model = tiny.model(style, labels, pooling=pooling, kind=kind)
    task, space = registry.make("task", "classification"), Space(tuple(labels), len(labels))
    write(folder, model, task, space, max_length=tiny.LIMIT, **facts)
    return model, task, space


def _plain(folder: Path, texts: list) -> np.ndarray:
    """Return logits by the libraries alone, as the model card tells."""
    value = json.loads((folder / "graft.json").read_text(encoding="utf-8"))
    if value["style"] == "pooled":
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(texts)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    first = [text if isinstance(text, str) else text[0] for text in texts]
    second = None if isinstance(texts[0], str) else [text[1] for text in texts]
    inputs = tokenizer(
        first, second, truncation=True, max_length=value["max_length"], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        return model(**inputs).logits.numpy()


@pytest.mark.parametrize("pair", [False, True], ids=["single", "pair"])
@pytest.mark.parametrize(("style", "pooling", "kind"), CASES)
def test_live_bundle_and_plain_library_agree(tmp_path: Path, tiny, style, pooling, kind, pair) -> None:
    folder = tmp_path / "bundle"
    model, task, space = _written(folder, tiny, style, pooling, kind)
    texts = [text or "w1" for text in tiny.texts(40)]
    examples = _examples(texts, pair)
    live = _logits(Predictor(model, task, space, limit=tiny.LIMIT, precision="fp32"), examples)
    bundle = open_bundle(folder)
    again = load(bundle, precision="fp32", device="cpu")
    assert not again.module.training
    assert bundle.space() == space
    assert bundle.task() == task
    kept = Predictor(again, bundle.task(), bundle.space(), limit=bundle.max_length, precision="fp32")
    np.testing.assert_array_equal(_logits(kept, examples), live)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = _plain(folder, [tuple(e.fields.values()) if pair else e.fields["text"] for e in examples])
    np.testing.assert_allclose(plain, live, atol=1e-5)
    assert len(set(live.argmax(1).tolist())) > 1


@pytest.mark.parametrize("style", ["native", "pooled"])
@pytest.mark.parametrize("count", [2, 10, 11, 150])
def test_labels_keep_their_order(tmp_path: Path, tiny, style: str, count: int) -> None:
    labels = [f"类别{number}" for number in range(count)]
    random.Random(count).shuffle(labels)
    folder = tmp_path / "bundle"
    model, task, space = _written(folder, tiny, style, "mean", "bert", labels)
    examples = _examples(tiny.texts(30))
    bundle = open_bundle(folder)
    assert bundle.space().labels == tuple(labels)
    before = Predictor(model, task, space, limit=tiny.LIMIT, precision="fp32").answers(examples)
    made = load(bundle, precision="fp32", device="cpu")
    after = Predictor(made, bundle.task(), bundle.space(), limit=bundle.max_length, precision="fp32").answers(examples)
    assert [answer.value for answer in after] == [answer.value for answer in before]
    if style == "native":
        assert made.module.config.id2label == dict(enumerate(labels))
    for one, other in zip(before, after, strict=True):
        assert one.detail["probabilities"] == pytest.approx(other.detail["probabilities"], abs=1e-5)


def test_pooled_names_no_labels_so_that_the_classifier_class_cannot_pretend(tmp_path: Path, tiny) -> None:
    _written(tmp_path / "b", tiny, "pooled", "mean", "bert")
    config = json.loads((tmp_path / "b/config.json").read_text(encoding="utf-8"))
    assert not {"id2label", "label2id", "num_labels"} & set(config)
    assert config["architectures"] == ["BertModel"]


@pytest.mark.parametrize("style", ["native", "pooled"])
def test_bf16_bundle_keeps_the_head_in_fp32(tmp_path: Path, tiny, style: str) -> None:
    model, task, space = _written(tmp_path / "b", tiny, style, "mean", "bert")
    bundle = open_bundle(tmp_path / "b")
    low = load(bundle, precision="bf16", device="cpu")
    assert low.module.get_submodule(low.head).weight.dtype == torch.float32
    assert low.module.get_submodule(low.base).embeddings.word_embeddings.weight.dtype == torch.bfloat16
    examples = _examples(tiny.texts(20))
    exact = _logits(Predictor(model, task, space, limit=tiny.LIMIT, precision="fp32"), examples)
    rounded = Predictor(low, task, space, limit=tiny.LIMIT, precision="bf16")
    tables = [m.get_submodule(low.base).embeddings.word_embeddings.weight for m in (rounded.module, low.module)]
    assert tables[0] is tables[1]  # the largest tensor is not held twice
    np.testing.assert_allclose(_logits(rounded, examples), exact, atol=0.3)


def test_nothing_names_the_machine_and_no_pickle_is_written(tmp_path: Path, tiny) -> None:
    folder = tmp_path / "run" / "bundle"
    facts = {
        "recipe": {"data": {"train": str(tmp_path / "train.csv")}, "backbone": {"use": "local", "path": str(tmp_path)}},
        "lineage": {"from": [str(tmp_path / "a/bundle")]},
        "metrics": {"metrics": {"test": {"accuracy": {"value": 0.9, "low": 0.85, "high": 0.95, "n": 100}}}},
        "data": {"train": 80, "test": 20},
        "limits": ["It was trained on banking questions."],
    }
    for style in ("native", "pooled"):
        _written(folder, tiny, style, "mean", "bert", **facts)
        for path in folder.rglob("*"):
            assert path.suffix in ("", ".json", ".safetensors", ".md")
            if path.is_file():
                assert str(tmp_path).encode() not in path.read_bytes(), path
                assert str(Path.home()).encode() + b"/" not in path.read_bytes(), path
        value = json.loads((folder / "graft.json").read_text(encoding="utf-8"))
        assert value["recipe"]["data"]["train"] == "train.csv"
        card = (folder / "README.md").read_text(encoding="utf-8")
        for part in ("0.9000", "0.8500 to 0.9500", "好评", "apache-2.0", "| train | 80 |", "banking questions"):
            assert part in card
    assert not [path for path in folder.parent.iterdir() if path != folder]


def test_paths_are_cut_and_other_text_is_not() -> None:
    given = {"a": "/home/x/train.csv", "b": [r"C:\data\x.csv", "~/y", "org/name", "50/50 splits", 3, None]}
    assert without_paths(given) == {"a": "train.csv", "b": ["x.csv", "y", "org/name", "50/50 splits", 3, None]}


def test_the_tokenizer_forgets_its_last_call(tmp_path: Path, tiny) -> None:
    model = tiny.model("native", ["a", "b"])
    task, space = registry.make("task", "classification"), Space(("a", "b"), 2)
    write(tmp_path / "one", model, task, space, max_length=32)
    model.tokenizer(["w1 w2"], padding="max_length", max_length=9, truncation=True)
    write(tmp_path / "two", model, task, space, max_length=32)
    assert (tmp_path / "one/tokenizer.json").read_bytes() == (tmp_path / "two/tokenizer.json").read_bytes()
    assert open_bundle(tmp_path / "one").fingerprint == open_bundle(tmp_path / "two").fingerprint


def test_a_write_that_fails_leaves_the_old_bundle(tmp_path: Path, tiny, monkeypatch) -> None:
    folder = tmp_path / "bundle"
    _written(folder, tiny, "pooled", "mean", "bert")
    before = open_bundle(folder).fingerprint

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("graftlm.bundle.card.text", fail)
    with pytest.raises(OSError, match="No space"):
        _written(folder, tiny, "native", "mean", "bert")
    assert open_bundle(folder).fingerprint == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_find_takes_a_run_or_a_bundle(tmp_path: Path, tiny) -> None:
    _written(tmp_path / "run/bundle", tiny, "native", "mean", "bert")
    assert find(tmp_path / "run") == find(tmp_path / "run/bundle") == tmp_path / "run/bundle"
    assert isinstance(open_bundle(str(tmp_path / "run")), Bundle)
    with pytest.raises(BundleError, match="nothing of that name"):
        find(tmp_path / "none")
    with pytest.raises(BundleError, match=r"neither a finished run nor a bundle"):
        find(tmp_path)
    (tmp_path / "run/bundle/graft.json").unlink()
    (tmp_path / "run/recipe.yaml").write_text("{}")
    with pytest.raises(BundleError, match=r"not written to its end\. Finish the run with --resume"):
        find(tmp_path / "run")


def test_a_model_card_may_be_edited(tmp_path: Path, tiny) -> None:
    _written(tmp_path / "b", tiny, "native", "mean", "bert")
    (tmp_path / "b/README.md").write_text("my own words")
    (tmp_path / "b/NOTES.md").write_text("more")
    assert open_bundle(tmp_path / "b").style == "native"
