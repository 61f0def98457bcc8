"""A folder with a plain checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from graftlm.core import registry
from graftlm.core.errors import UserError


def opened(folder, **fields):
    return registry.make("backbone", {"use": "local", "path": str(folder), **fields}).open()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "my-model"
    base = registry.make("backbone", "tiny").open()
    base.build("AutoModel").save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    made = tmp_path / "my-model"
    made.mkdir()
    for path in whole.iterdir():
        (made / path.name).write_bytes(path.read_bytes())
    return made


def change(path: Path, **values):
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**tree, **values}), encoding="utf-8")


def test_it_opens_what_transformers_saved(folder):
    base = opened(folder)
    assert (base.card.name, base.card.architecture, base.card.width) == ("my-model", "bert", 32)
    assert base.card.limit == 128
    assert base.card.pooling is None
    expected = registry.make("backbone", "tiny").open().build("AutoModel").state_dict()
    found = base.build("AutoModel").state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("architecture", ["modernbert", "gpt2"])
@pytest.mark.parametrize("saved", ["AutoModel", "AutoModelForSequenceClassification"])
def test_other_architectures_come_back_from_the_plain_model_or_a_whole_one(tmp_path, architecture, saved):
    made = {"use": "scratch", "architecture": architecture, "layers": 2, "width": 32, "max_length": 40}
    first = registry.make("backbone", made).open()
    first.build(saved).save_pretrained(tmp_path)
    first.tokenizer.save_pretrained(tmp_path)
    base = opened(tmp_path)
    assert len(base.card.blocks) == 2
    expected, found = first.build("AutoModel").state_dict(), base.build("AutoModel").state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert base.build("AutoModelForSequenceClassification", num_labels=3).config.num_labels == 3


def test_a_task_gets_a_new_head_on_the_same_weights(folder):
    base = opened(folder)
    module = base.build("AutoModelForSequenceClassification", num_labels=7)
    assert module.classifier.weight.shape == (7, 32)
    table = registry.make("backbone", "tiny").open().build("AutoModel").embeddings.word_embeddings.weight
    assert torch.equal(module.bert.embeddings.word_embeddings.weight, table)


@pytest.mark.parametrize(("mode", "expected"), [("mean_tokens", "mean"), ("cls_token", "cls"), ("max_tokens", "max")])
def test_it_takes_over_what_sentence_transformers_declares(folder, mode, expected):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True}), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 50}), encoding="utf-8")
    base = opened(folder)
    assert (base.card.pooling, base.card.limit) == (expected, 50)
    assert opened(folder, max_length=20).card.limit == 20


def test_it_takes_over_the_pooling_of_newer_files_and_of_classifiers(folder):
    change(folder / "config.json", classifier_pooling="mean")
    assert opened(folder).card.pooling == "mean"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}), encoding="utf-8")
    assert opened(folder).card.pooling == "cls"


def test_pickled_weights_are_never_loaded(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="'my-model' has no safetensors weights; pickled weights are never loaded"):
        opened(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused(folder, file):
    change(folder / file, auto_map={"AutoModel": "code.Model", "AutoTokenizer": ["code.T", None]})
    with pytest.raises(UserError, match=rf"'my-model' wants to run .*own \(?.*auto_map in {file}|auto_map in {file}"):
        opened(folder)


def test_code_of_its_own_is_refused_at_any_depth(folder):
    change(folder / "config.json", text_config={"auto_map": {}})
    with pytest.raises(UserError, match="auto_map in config.json"):
        opened(folder)


@pytest.mark.parametrize("value", ["owner/kernel", "owner/kernel@v1:f", {"": "owner/kernel"}])
@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation", "_attn_implementation_internal"])
def test_an_attention_that_is_fetched_is_refused(folder, key, value):
    change(folder / "config.json", **{key: value})
    with pytest.raises(UserError, match=f"names an attention of its own \\({key} in config.json"):
        opened(folder)


def test_a_built_in_attention_is_fine(folder):
    change(folder / "config.json", _attn_implementation="eager")
    opened(folder)


def test_a_folder_without_a_configuration_says_what_it_holds(folder):
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"is no model: expected config.json, .* it holds 'model.safetensors', 'tok"):
        opened(folder)


def test_an_empty_folder(tmp_path):
    with pytest.raises(UserError, match="it holds nothing"):
        opened(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"The base model's folder '.*nowhere' does not exist"):
        opened(tmp_path / "nowhere")


def test_without_a_tokenizer_it_says_so(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(UserError, match="'my-model' has no tokenizer: expected one of tokenizer.json, vocab.txt"):
        opened(folder)


@pytest.mark.parametrize("text", ["{", "[1]", '{"model_type": "no-such-thing"}', "{}", ""])
def test_a_configuration_that_is_none(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="cannot be (read|opened)"):
        opened(folder)


def test_an_architecture_that_is_not_known_here(folder):
    change(folder / "config.json", model_type="vit", architectures=["ViTModel"])
    with pytest.raises(
        UserError, match=r"The architecture 'vit' of 'my-model' is not known here.*Known: 'albert'|Known"
    ):
        opened(folder)


def test_weights_that_are_cut_off_are_told(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    base = opened(folder)
    with pytest.raises(UserError, match="The weights of 'my-model' cannot be read"):
        base.build("AutoModel")


def test_weights_that_are_missing_are_not_made_up(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    held = {name: tensor for name, tensor in load_file(path).items() if "layer.1.output" not in name}
    save_file(held, path, metadata={"format": "pt"})
    base = opened(folder)
    for kind in ("AutoModel", "AutoModelForSequenceClassification"):
        with pytest.raises(UserError, match=r"lack 4 fitting tensors of the architecture 'bert', such as '.*layer.1."):
            base.build(kind)


def test_a_table_of_another_size_is_told(folder):
    change(folder / "config.json", vocab_size=300)
    with pytest.raises(UserError, match=r"lack 1 fitting tensors .* such as 'embeddings.word_embeddings.weight'"):
        opened(folder).build("AutoModel")


def test_names_that_it_claims(tmp_path):
    claims = registry.load("backbone", "local").claims
    assert claims(str(tmp_path)) == 0.9
    assert claims("./nowhere") == claims("~/nowhere") == claims("/nowhere") == 0.8
    assert claims("owner/model") == claims("minilm") == 0
    assert registry.load("backbone", "local").named("x/y") == {"path": "x/y"}
