"""One backbone under several heads: the bundle round trip, opened plainly, damaged, and made to do harm."""

from __future__ import annotations

import json
import random
import shutil
import struct
from pathlib import Path

import pytest
import torch
from tests.sealing import reseal
from transformers import AutoModel, BertConfig, BertForTokenClassification

from graftlm.bundle import Kept, load, open_bundle, write_shared
from graftlm.contracts.model import Model
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import BundleError, UserError
from graftlm.nn.several import share

LABELS, TAGS = ("差评", "好评", "其他"), ("O", "B-品牌", "I-品牌")


@pytest.fixture(scope="module")
def models(tiny) -> dict[str, Model]:
    first = tiny.model("pooled", LABELS)
    torch.manual_seed(1)
    config = {**tiny._sizes(), "id2label": dict(enumerate(TAGS)), "label2id": {tag: n for n, tag in enumerate(TAGS)}}
    native = BertForTokenClassification(BertConfig(**config))
    share(native, "bert", first.module.encoder)
    auto = "AutoModelForTokenClassification"
    return {"情感": first, "brands": Model(native, first.tokenizer, first.card, "native", "bert", "classifier", auto)}


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "bundle"
    tasks = {
        "情感": Kept(models["情感"], registry.make("task", "classification"), Space(LABELS, 3), 32, ["text"]),
        "brands": Kept(models["brands"], registry.make("task", "tagging"), Space(TAGS, 3), 24, ["tokens"]),
    }
    return write_shared(folder, tasks, recipe={"out": "/home/somebody/run"})


def inputs(tiny):
    return tiny.tokenizer()(tiny.texts(4), padding=True, truncation=True, max_length=24, return_tensors="pt")


def test_each_task_answers_as_its_model_did(whole, models, tiny):
    for name, model in models.items():
        opened = open_bundle(whole, name)
        again = load(opened, precision="fp32", device="cpu")
        with torch.no_grad():
            assert torch.equal(again.module(**inputs(tiny)).logits, model.module.eval()(**inputs(tiny)).logits)
        assert (again.style, again.base, again.head) == (model.style, model.base, model.head)
    assert open_bundle(whole, "brands").max_length == 24
    assert open_bundle(whole, "brands").fingerprint != open_bundle(whole, "情感").fingerprint
    assert b"somebody" not in b"".join(path.read_bytes() for path in whole.rglob("*.json"))


def test_the_backbone_is_there_once_and_opens_plainly(whole, models, tiny):
    plain = AutoModel.from_pretrained(whole, add_pooling_layer=False).eval()
    with torch.no_grad():
        ours = models["brands"].module.bert.eval()(**inputs(tiny)).last_hidden_state
        assert torch.equal(plain(**inputs(tiny)).last_hidden_state, ours)
    assert [path.name for path in whole.rglob("*.safetensors") if path.parent == whole] == ["model.safetensors"]
    assert "graft predict . texts.csv --task '情感'" in (whole / "README.md").read_text(encoding="utf-8")


def test_a_task_must_be_named(whole):
    with pytest.raises(UserError, match=r"2 tasks: '情感', 'brands'. Name one"):
        open_bundle(whole)


def test_damage_is_found(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "bundle")
    chance = random.Random(0)
    for path in sorted(p for p in copy.rglob("*") if p.is_file() and p.suffix != ".md"):
        kept = path.read_bytes()
        for place in {0, 8, len(kept) - 1, *(chance.randrange(len(kept)) for _ in range(9))}:
            changed = bytearray(kept)
            changed[place] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
                open_bundle(copy, "brands")
        path.write_bytes(kept[:-1])
        with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
            open_bundle(copy, "brands")
        path.unlink()
        with pytest.raises(BundleError):
            open_bundle(copy, "brands")
        path.write_bytes(kept)
    open_bundle(copy, "brands")


def tensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(torch.tensor(shape).prod())
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, place + size]}
        place += size
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(place)


def puts(name: str, **changes):
    return lambda value: value["tasks"][name].update(changes)


@pytest.mark.parametrize(
    ("files", "change", "said"),
    [
        ({"heads/evil.safetensors": tensors({"a": (1,)})}, None, "does not belong"),
        ({"heads/brands.bin": b"x"}, None, "can hold code"),
        ({"heads/config.json": b"{}"}, None, "does not belong"),
        ({"1_Pooling/config.json": b"{}"}, None, "does not belong"),
        ({"heads/情感.safetensors": tensors({"head.weight": (2, 32), "head.bias": (2,)})}, None, "from 32 to 3"),
        ({"heads/brands.safetensors": tensors({"bert.embeddings.x": (2,)})}, None, "no tensors of the backbone"),
        ({"heads/brands.safetensors": b"\x80\x04pickle"}, None, "safetensors header"),
        ({}, puts("brands", own=False), "does not belong"),
        ({}, puts("brands", own=1), "'own'"),
        ({}, puts("情感", own=False), "does not belong"),
        ({}, puts("brands", style="shared"), "'native' or 'pooled'"),
        ({}, puts("brands", module={"base": "", "head": None}), "parts of the model"),
        ({}, puts("brands", auto_model=7), "auto_model"),
        ({}, puts("brands", space={"labels": ["a", "a"], "size": 2}), "each label once"),
        ({}, lambda value: value["tasks"].update({"../x": value["tasks"]["brands"]}), "names of tasks"),
        ({}, lambda value: value["tasks"].update({"x": value["tasks"]["brands"]}), "x.safetensors: expected this file"),
        ({}, lambda value: value.update(tasks={}), "at least one task"),
    ],
)
def test_harm_is_refused_on_opening(whole, tmp_path, files, change, said):
    copy = shutil.copytree(whole, tmp_path / "bundle")
    for name, raw in files.items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(raw)
    reseal(copy, change or (lambda value: None))
    with pytest.raises(BundleError, match=said):
        open_bundle(copy, "brands")


@pytest.mark.parametrize(
    ("files", "change", "said"),
    [
        ({"heads/brands.safetensors": tensors({"classifier.weight": (3, 32)})}, None, r"classifier\.bias \(missing\)"),
        ({"heads/brands.safetensors": tensors({"classifier.weight": (2, 32), "classifier.bias": (2,)})}, None, "shape"),
        ({}, puts("brands", auto_model="os.system"), "class of Transformers"),
        ({}, puts("brands", auto_model="AutoModelForNothing"), "class of Transformers"),
        ({}, puts("brands", module={"base": "encoder", "head": "classifier"}), "backbone's place"),
        ({}, puts("brands", auto_model="AutoModelForCausalLM"), "all and no more"),
    ],
)
def test_heads_that_do_not_fit_are_refused_on_loading(whole, tmp_path, files, change, said):
    copy = shutil.copytree(whole, tmp_path / "bundle")
    for name, raw in files.items():
        (copy / name).write_bytes(raw)
    reseal(copy, change or (lambda value: None))
    with pytest.raises(BundleError, match=said):
        load(open_bundle(copy, "brands"), precision="fp32")
