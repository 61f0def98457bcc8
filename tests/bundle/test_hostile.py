"""Bundles that were made to do harm: each is refused before torch or transformers are imported."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sealing import reseal

from graftlm.bundle import open_bundle, write
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import BundleError

LABELS = ("差评", "好评", "其他")
Harm = Callable[[Path], None]


def edits(name: str, change: Callable[[Any], Any]) -> Harm:
    """Change a JSON file and seal again."""

    def act(folder: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text(encoding="utf-8"))
        value = change(value) or value
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        reseal(folder)

    return act


def puts(name: str, **values: Any) -> Harm:
    return edits(name, lambda tree: tree.update(values))


def adds(name: str, content: bytes, sealed: bool = True) -> Harm:
    def act(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
        if sealed:
            reseal(folder)

    return act


def claims(change: Callable[[dict[str, Any]], None]) -> Harm:
    return lambda folder: reseal(folder, change)


def header(value: Any, data: int = 8, length: int | None = None) -> Harm:
    """Replace the weights by a safetensors file with the given header."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return adds("model.safetensors", struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data))


def raw(name: str, change: Callable[[str], str]) -> Harm:
    def act(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        reseal(folder)

    return act


def link(name: str, target: str) -> Harm:
    def act(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return act


def entry(start: int = 0, stop: int = 8, dtype: Any = "F32", shape: Any = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def regex(pattern: str) -> Harm:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return puts("tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [split]})


PICKLE = pickle.dumps({"a": 1})
EXTRA = {"size": 1, "sha256": "0" * 64}

HARMS: dict[str, tuple[str, Harm, str]] = {
    # name: (style, what is done, the message)
    "pickled weights": ("native", adds("pytorch_model.bin", PICKLE), "can hold code"),
    "pickle beside": ("native", adds("extra.pkl", PICKLE, sealed=False), "can hold code"),
    "pickle in a folder": ("pooled", adds("2_Dense/pytorch_model.bin", PICKLE), "can hold code"),
    "pickle by another name": ("native", adds("training_args.json.pt", PICKLE), "can hold code"),
    "numpy array": ("native", adds("a.npy", b"x"), "can hold code"),
    "joblib": ("native", adds("a.joblib", PICKLE), "can hold code"),
    "python file": ("native", adds("modeling_custom.py", b"raise SystemExit"), "can hold code"),
    "shared library": ("native", adds("op.so", b"\x7fELF"), "can hold code"),
    "capital letters": ("native", adds("MODEL.PT", PICKLE), "can hold code"),
    "archive": ("native", adds("a.tar.gz", b"x"), "can hold code"),
    "keras model": ("native", adds("tf_model.h5", b"x"), "can hold code"),
    "unknown file": ("native", adds("notes.txt", b"x", sealed=False), "does not name"),
    "unknown file, sealed": ("native", adds("notes.txt", b"x"), "does not belong"),
    "adapter": ("native", adds("adapter_config.json", b'{"base_model_name_or_path": "a/b"}'), "does not belong"),
    "modules in a native bundle": ("native", adds("modules.json", b"[]"), "does not belong"),
    "hidden file": ("native", adds(".hidden", b"x"), "does not belong"),
    "auto_map": ("native", puts("config.json", auto_map={"AutoModel": "a/b--m.X"}), "auto_map"),
    "auto_map, deep": ("native", puts("config.json", text_config={"x": [{"auto_map": {"a": "b"}}]}), "auto_map"),
    "auto_map of a tokenizer": ("native", puts("tokenizer_config.json", auto_map={"AutoTokenizer": ["a", None]}),
                                "auto_map"),
    "trust_remote_code": ("native", puts("config.json", trust_remote_code=True), "trust_remote_code"),
    "attention from the Hub, inner": ("native", puts("config.json", _attn_implementation_internal="evil/kernel"),
                                      "_attn_implementation_internal"),
    "attention from the Hub": ("native", puts("config.json", _attn_implementation="evil/kernel"), "built-in attention"),
    "attention from the Hub, plain": ("native", puts("config.json", attn_implementation="evil/kernel:run"),
                                      "built-in attention"),
    "attention by part": ("pooled", puts("config.json", attn_implementation={"text": "evil/k"}), "built-in attention"),
    "experts from the Hub": ("native", puts("config.json", _experts_implementation="evil/kernel"), "built-in"),
    "custom pipeline": ("native", puts("config.json", custom_pipelines={"x": {"impl": "a.B"}}), "custom_pipelines"),
    "quantisation code": ("native", puts("config.json", quantization_config={"quant_method": "x"}), "quantization"),
    "another backbone": ("native", puts("config.json", use_pretrained_backbone=True), "fetches another"),
    "class with a path": ("native", puts("config.json", architectures=["../x.Y"]), "name of a class"),
    "no architecture": ("native", puts("config.json", model_type="../../x y"), "architecture"),
    "tokenizer class with a path": ("native", puts("tokenizer_config.json", tokenizer_class="evil/repo.T"),
                                    "name of a class"),
    "tokenizer from elsewhere": ("native", puts("tokenizer_config.json", vocab_file="/etc/passwd"), "vocab_file"),
    "tokenizer by version": ("native", puts("tokenizer_config.json", fast_tokenizer_files=["../t.json"]),
                             "fast_tokenizer_files"),
    "key twice in a configuration": ("native", raw("config.json", lambda t: t.replace("{", '{"model_type": "x",', 1)),
                                     "twice"),
    "key twice in a tokenizer": ("native", raw("tokenizer.json", lambda t: t.replace("{", '{"model": {},', 1)),
                                 "twice"),
    "NaN": ("native", raw("config.json", lambda t: t.replace("{", '{"x": NaN,', 1)), "finite"),
    "nested without end": ("native", raw("config.json", lambda _: "[" * 200_000), "JSON"),
    "not an object": ("native", raw("config.json", lambda _: "[]"), "JSON object"),
    "labels swapped": ("native", puts("config.json", id2label={"0": "好评", "1": "差评", "2": "其他"}), "labels of"),
    "labels swapped the other way": ("native", puts("config.json", label2id={"差评": 1, "好评": 0, "其他": 2}),
                                     "label2id"),
    "labels that pretend": ("pooled", puts("config.json", id2label={"0": "a"}), "no labels"),
    "link out": ("native", link("config.json", "/etc/hostname"), "symbolic link"),
    "link inside": ("native", link("vocab.txt", "config.json"), "symbolic link"),
    "linked folder": ("native", link("more", ".."), "symbolic link"),
    "pipe": ("native", lambda folder: os.mkfifo(folder / "vocab.txt"), "plain file"),
    "path upwards": ("native", claims(lambda v: v["files"].update({"../x.json": EXTRA})), "inside the bundle"),
    "absolute path": ("native", claims(lambda v: v["files"].update({"/etc/passwd": EXTRA})), "inside the bundle"),
    "drive": ("native", claims(lambda v: v["files"].update({"C:\\x.json": EXTRA})), "inside the bundle"),
    "escape codes in a name": ("native", claims(lambda v: v["files"].update({"a\x1b[2J": EXTRA})), "inside the bundle"),
    "newer format": ("native", claims(lambda v: v.update(format_version=99)), "pip install --upgrade graftlm"),
    "no format": ("native", claims(lambda v: v.pop("format_version")), "format_version"),
    "format as a truth value": ("native", claims(lambda v: v.update(format_version=True)), "format_version"),
    "another style": ("native", claims(lambda v: v.update(style="pickled")), "style"),
    "another style that lacks files": ("native", claims(lambda v: v.update(style="pooled", pooling="mean")), "needs"),
    "no tasks": ("native", claims(lambda v: v.update(tasks={})), "one task"),
    "task with escape codes": ("native", claims(lambda v: v["tasks"]["classification"].update(use="a\x1b[2J")),
                               "plain names"),
    "roles that are no names": ("native", claims(lambda v: v["tasks"]["classification"].update(roles=[1])),
                                "plain names"),
    "class that is no text": ("native", claims(lambda v: v.update(auto_model=["AutoModel"])), "auto_model"),
    "extras that are no mapping": ("native", claims(lambda v: v["tasks"]["classification"]["space"].update(extra=[1])),
                                   "extra"),
    "label twice": ("native", claims(lambda v: v["tasks"]["classification"]["space"].update(labels=["a", "a"])),
                    "each label once"),
    "length out of range": ("native", claims(lambda v: v.update(max_length=0)), "max_length"),
    "manifest too large": ("native", claims(lambda v: v.update(recipe={"x": "y" * 17_000_000})), "at most"),
    "manifest with a key twice": ("native", lambda f: (f / "graft.json").write_text('{"a": 1, "a": 2}'), "twice"),
    "huge number": ("native", lambda f: (f / "graft.json").write_text('{"a": ' + "9" * 5000 + "}"), "JSON"),
    "not text": ("native", lambda f: (f / "graft.json").write_bytes(b"\xff\xfe{"), "UTF-8"),
    "weights without header": ("native", adds("model.safetensors", b"abc"), "at least 8 bytes"),
    "header beyond the file": ("native", header({}, length=10_000_000), "within the file"),
    "header of a terabyte": ("native", header({}, length=1 << 40), "at most"),
    "header that is no object": ("native", header(b"[1]"), "begins with"),
    "tensor twice": ("native", header(b'{"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "a": 1}'), "twice"),
    "overlap": ("native", header({"a": entry(), "b": entry(4, 12)}, 12), "overlap"),
    "gap": ("native", header({"a": entry(), "b": entry(12, 20)}, 20), "a gap"),
    "hidden bytes at the end": ("native", header({"a": entry()}, 4096), "offsets that end"),
    "tensor beyond the file": ("native", header({"a": entry(0, 800, shape=[200])}, 8), "offsets that end"),
    "negative offsets": ("native", header({"a": entry(-8, 0)}), "offsets"),
    "shape and bytes differ": ("native", header({"a": entry(shape=[3])}), "bytes for tensor"),
    "shape that overflows": ("native", header({"a": entry(shape=[1 << 62, 4])}), "bytes for tensor"),
    "shape of truth values": ("native", header({"a": entry(shape=[True, True])}), "whole numbers"),
    "unknown format": ("native", header({"a": entry(dtype="PYOBJECT")}), "in one of"),
    "metadata that is code": ("native", header({"__metadata__": {"a": {"b": 1}}, "a": entry()}), "metadata"),
    "index to another folder": ("native", adds("model.safetensors.index.json",
                                               b'{"weight_map": {"a": "../../x.safetensors"}}'), "shards"),
    "module of one's own": ("pooled", edits("modules.json", lambda m: m[2].update(type="evil_package.Dense")), "type"),
    "module from a file": ("pooled", edits("modules.json", lambda m: m[0].update(type="modeling_custom.T")), "type"),
    "module elsewhere": ("pooled", edits("modules.json", lambda m: m[1].update(path="../../x")), "module 1"),
    "more modules": ("pooled", edits("modules.json", lambda m: m + m), "three modules"),
    "activation of one's own": ("pooled", puts("2_Dense/config.json", activation_function="os.system"), "activation"),
    "sizes that differ": ("pooled", puts("2_Dense/config.json", out_features=7), "outputs"),
    "another pooling": ("pooled", puts("1_Pooling/config.json", pooling_mode_cls_token=True), "pooling"),
    "options of the transformer": ("pooled", puts("sentence_bert_config.json", model_args={"trust_remote_code": True}),
                                   "trust_remote_code"),
    "processor options": ("pooled", puts("sentence_bert_config.json", processor_args={}), "only"),
    "pattern without end": ("native", regex(r"(a+)+$"), "patterns that end"),
    "pattern without end, alternatives": ("native", regex(r"(?:a|a)*b"), "patterns that end"),
    "pattern without end, nested": ("pooled", regex(r"((?:\w{2,})x?)*y"), "patterns that end"),
    "pattern with references": ("native", regex(r"(a*)\1"), "patterns that end"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny) -> dict[str, Path]:
    task = registry.make("task", "classification")
    made = {}
    for style in ("native", "pooled"):
        made[style] = tmp_path_factory.mktemp(style) / "bundle"
        write(made[style], tiny.model(style, LABELS), task, Space(LABELS, 3), max_length=32)
    return made


@pytest.mark.parametrize("name", HARMS)
def test_refused(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    style, harm, words = HARMS[name]
    folder = tmp_path / "bundle"
    shutil.copytree(whole[style], folder)
    harm(folder)
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    text = str(caught.value)
    assert words in text
    assert str(folder) in text
    assert "expected" in text
    assert "\x1b" not in text
    assert len(text) < 800


def test_resealing_alone_changes_nothing(whole: dict[str, Path], tmp_path: Path) -> None:
    """The harms above are refused for what they do: a folder that is only sealed again opens."""
    for style, source in whole.items():
        folder = tmp_path / style
        shutil.copytree(source, folder)
        reseal(folder)
        assert open_bundle(folder).style == style


def test_verifying_imports_no_heavy_library_and_opens_no_connection(whole: dict[str, Path], tmp_path: Path) -> None:
    """Fresh process: audited for connections and new processes while good and hostile bundles are opened."""
    folders = [whole["native"], whole["pooled"]]
    for number, (style, harm, _) in enumerate(HARMS.values()):
        folder = tmp_path / str(number)
        shutil.copytree(whole[style], folder)
        harm(folder)
        folders.append(folder)
    code = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(("socket.connect", "socket.getaddrinfo",
    "subprocess", "os.exec", "os.system", "os.posix_spawn", "pickle.find_class", "ctypes.dlopen")) else None)
from graftlm.bundle import open_bundle
from graftlm.core.errors import BundleError
refused = 0
for folder in sys.argv[1:]:
    try:
        open_bundle(folder)
    except BundleError:
        refused += 1
heavy = {"torch", "transformers", "numpy", "tokenizers", "sentence_transformers", "safetensors"} & set(sys.modules)
print(refused, sorted(heavy), [event for event in seen if event != "ctypes.dlopen"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.split(maxsplit=1) == [str(len(HARMS)), "[] []\n"]


def _resealed(whole: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    shutil.copytree(whole, folder)
    reseal(folder, change)
    return folder


def test_a_task_or_class_that_is_not_there(whole: dict[str, Path], tmp_path: Path) -> None:
    """What only the installed libraries can know is refused when the model is made."""
    from graftlm.bundle import load

    def task(value: dict[str, Any]) -> None:
        value["tasks"]["classification"]["use"] = "clasification"

    with pytest.raises(BundleError, match=r"a task that is installed here.*Did you mean 'classification'"):
        open_bundle(_resealed(whole["native"], tmp_path / "a", task)).task()
    for number, name in enumerate(("AutoModelForNothing", "os.system", "pipeline")):
        folder = _resealed(whole["native"], tmp_path / f"b{number}", lambda v, name=name: v.update(auto_model=name))
        with pytest.raises(BundleError, match="auto_model as a class of Transformers"):
            load(open_bundle(folder))
    folder = _resealed(whole["pooled"], tmp_path / "c", lambda v: v["module"].update(head="nowhere"))
    with pytest.raises(BundleError, match="names of parts of the model"):
        load(open_bundle(folder), device="cpu")
    folder = _resealed(whole["pooled"], tmp_path / "d", lambda v: v["base"].pop("width"))
    with pytest.raises(BundleError, match="description of the base model"):
        load(open_bundle(folder), device="cpu")


def test_weights_of_another_model(whole: dict[str, Path], tmp_path: Path) -> None:
    """Sound files that do not belong together: nothing is drawn at random in silence."""
    from graftlm.bundle import load

    folder = tmp_path / "bundle"
    shutil.copytree(whole["native"], folder)
    shutil.copy(whole["pooled"] / "model.safetensors", folder / "model.safetensors")
    reseal(folder)
    with pytest.raises(BundleError, match=r"model\.safetensors: expected the tensors of config\.json"):
        load(open_bundle(folder), device="cpu")
    folder = tmp_path / "deeper"
    shutil.copytree(whole["pooled"], folder)
    puts("config.json", num_hidden_layers=3)(folder)
    with pytest.raises(BundleError, match=r"the tensors of config\.json, all and no more; got missing keys"):
        load(open_bundle(folder), device="cpu")


def test_a_tokenizer_that_cannot_be_read(whole: dict[str, Path], tmp_path: Path) -> None:
    from graftlm.bundle import load

    folder = tmp_path / "bundle"
    shutil.copytree(whole["native"], folder)
    puts("tokenizer.json", pre_tokenizer={"type": "Nothing"})(folder)
    with pytest.raises(BundleError, match="expected a tokenizer that this version of transformers can read"):
        load(open_bundle(folder), device="cpu")
