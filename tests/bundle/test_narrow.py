"""Bundles of bottleneck adapters after layers: ours, and by the code on their card with the plain libraries alone."""

from __future__ import annotations

import contextlib
import io
import json
import re

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from graftlm.bundle import load, open_bundle, write
from graftlm.contracts.method import Setting
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.core.errors import BundleError
from graftlm.nn.bottleneck import After
from graftlm.prediction import Predictor
from graftlm.stages.training.assembling import assemble

TASK = registry.make("task", "classification")
SPACE = Space(("a", "b", "c"), 3)
POOLED, NATIVE = "tiny", {"use": "tiny", "pooling": "native"}
GPT2 = {"use": "tiny", "architecture": "gpt2", "pooling": "native"}


def trained(backbone, position="houlsby", **fields):
    backbone = registry.make("backbone", backbone)
    base = backbone.open()
    model = assemble(base, backbone, TASK, SPACE, seed=0)
    method = registry.make("method", {"use": "bottleneck", "position": position, "head": "random", **fields})
    setting = Setting(TASK, SPACE, None, rows=1, steps=1, seed=0, methods=("bottleneck",))
    assert method.refuses(model, setting) is None
    method.apply(model, setting)
    torch.manual_seed(1)
    with torch.no_grad():
        for part in model.module.modules():
            if isinstance(part, After):
                for parameter in (*part.down.parameters(), *part.up.parameters()):
                    parameter.normal_(std=0.5)
        model.module.get_submodule(model.head).weight.normal_(std=0.5)
    model.module.eval()
    return model


def written(folder, model):
    write(folder, model, TASK, SPACE, max_length=64)
    return folder


def logits(model):
    batch = model.tokenizer(["hello there", "a longer text is here"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model.module(**batch).logits


def loaded(folder):
    return load(open_bundle(folder), precision="fp32", device="cpu")


@pytest.mark.parametrize("position", ["houlsby", "pfeiffer"])
@pytest.mark.parametrize("backbone", [POOLED, NATIVE, GPT2], ids=["pooled", "native", "gpt2"])
def test_it_answers_as_it_was_trained_bit_for_bit(tmp_path, backbone, position):
    model = trained(backbone, position, scale=2.0)
    before = logits(model)
    folder = written(tmp_path / "b", model)
    assert torch.equal(logits(model), before)  # writing leaves the model as it was
    assert torch.equal(logits(loaded(folder)), before)
    assert (folder / "base" / "config.json").is_file()
    assert not (folder / "config.json").exists()
    plain = trained(backbone, position)
    with torch.no_grad():
        for part in plain.module.modules():
            if isinstance(part, After):
                part.up.weight.zero_()
                part.up.bias.zero_()
    assert (logits(plain) - before).abs().max() > 1e-2  # they matter


@pytest.mark.parametrize("backbone", [POOLED, NATIVE], ids=["pooled", "native"])
def test_the_code_on_the_card_prints_the_answer(tmp_path, backbone, monkeypatch):
    model = trained(backbone, scale=1.5)
    folder = written(tmp_path / "b", model)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "library_name: peft" not in card
    assert "bottleneck adapters" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert "graftlm" not in code
    monkeypatch.chdir(folder)
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        exec(compile(code, "card", "exec"), names)  # noqa: S102
    examples = [Example("1", {"text": "a text"})]
    (answer,) = Predictor(model, TASK, SPACE, limit=64, precision="fp32").answers(examples)
    assert out.getvalue().strip().splitlines()[-1] == answer.value
    batch = model.tokenizer(["a text"], return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(torch.as_tensor(names["logits"]), model.module(**batch).logits, atol=1e-6, rtol=1e-6)


def test_nothing_opens_it_as_a_whole_model_by_mistake(tmp_path):
    folder = written(tmp_path / "b", trained(NATIVE))
    with pytest.raises((OSError, ValueError)):
        AutoModelForSequenceClassification.from_pretrained(folder)
    peft = pytest.importorskip("peft")
    base = AutoModelForSequenceClassification.from_pretrained(folder / "base")
    with pytest.raises((ValueError, KeyError)):
        peft.PeftModel.from_pretrained(base, folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("activation", "__import__", "relu, gelu or silu"),
        ("r", 3, "tensors of adapter_config.json"),
        ("target_modules", ["encoder.nothing"], "no layer 'encoder.nothing'"),
        ("code", "x", "the key 'code'"),
        ("modules_to_save", None, "tensors of adapter_config.json"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, key, value, words):
    from tests.bundle.test_adapters import puts

    folder = written(tmp_path / "b", trained(NATIVE))
    puts("adapter_config.json", **{key: value})(folder)
    with pytest.raises(BundleError, match=words):
        loaded(folder)


def test_another_base_is_refused(tmp_path):
    import shutil

    from tests.bundle.test_adapters import reseal

    folder = written(tmp_path / "b", trained(NATIVE))
    other = written(tmp_path / "other", trained({**NATIVE, "seed": 1}))
    shutil.copy(other / "base/model.safetensors", folder / "base/model.safetensors")
    reseal(folder)
    with pytest.raises(BundleError, match=r"expected the base in 'base/'; got one whose parameters"):
        loaded(folder)


@pytest.mark.model
def test_on_the_embedded_model_it_is_small_and_names_its_base(tmp_path):
    model = trained("minilm", "pfeiffer")
    folder = written(tmp_path / "b", model)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3_000_000
    entry = open_bundle(folder).manifest["adapter"]
    assert (entry["type"], entry["base"]["name"]) == ("BOTTLENECK", "minilm")
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 24
    assert torch.equal(logits(loaded(folder)), logits(model))
