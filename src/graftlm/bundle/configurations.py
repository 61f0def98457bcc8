"""Configurations that name no code, tokenizers that end in time, labels in their order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftlm.bundle.patterns import explosive, regexes
from graftlm.bundle.strict import refuse
from graftlm.bundle.tensors import check_tensors

NAMES_CODE = {
    "auto_map", "trust_remote_code", "custom_pipelines", "custom_objects", "_attn_implementation_internal",
    "_attn_implementation_autoset", "code_revision", "quantization_config", "adapter_config", "peft_config",
    "base_model_name_or_path", "kernel_config", "use_kernels", "hub_kernels", "tokenizer_file", "vocab_file",
    "merges_file", "fast_tokenizer_files", "backbone_kwargs",
}  # fmt: skip
ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", None}
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

MODULES = {
    "Transformer": ("", {"sentence_transformers.models.Transformer",
                         "sentence_transformers.base.modules.transformer.Transformer"}),
    "Pooling": ("1_Pooling", {"sentence_transformers.models.Pooling",
                              "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}),
    "Dense": ("2_Dense", {"sentence_transformers.models.Dense",
                          "sentence_transformers.base.modules.dense.Dense"}),
    "Normalize": ("2_Normalize", {"sentence_transformers.models.Normalize",
                                  "sentence_transformers.base.modules.normalize.Normalize"}),
}  # fmt: skip

POOLING_KEYS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
}
IDENTITY = "torch.nn.modules.linear.Identity"


def check_tree(path: Path, tree: Any) -> None:
    """Refuse keys, at any depth, that make a library fetch or run code."""
    waiting = [tree]
    if isinstance(tree, dict) and isinstance(tree.get("label2id"), dict):  # its keys are labels: any text
        waiting = [{key: value for key, value in tree.items() if key != "label2id"}]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key in NAMES_CODE and value is not None:
                    refuse(path, f"no key '{key}', which can name code or other files", repr(value)[:80])
                if key in ("_attn_implementation", "attn_implementation", "_experts_implementation"):
                    ways = value.values() if isinstance(value, dict) else [value]
                    if not all(way is None or (isinstance(way, str) and way in ATTENTION) for way in ways):
                        refuse(path, f"'{key}' as a built-in attention", repr(value)[:80])
                if key in ("use_pretrained_backbone", "use_timm_backbone") and value:
                    refuse(path, f"no '{key}', which fetches another model", repr(value)[:80])
            waiting.extend(item.values())


def _object(path: Path, tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict):
        refuse(path, "a JSON object", f"a {type(tree).__name__}")
    return tree


def _check_word(path: Path, key: str, value: Any) -> None:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        refuse(path, f"'{key}' as the name of a class of Transformers", repr(value)[:80])


def check_config(path: Path, tree: Any, style: str, labels: list[str]) -> None:
    """Check that `config.json` names an architecture, and the labels exactly as the manifest does."""
    tree = _object(path, tree)
    if not isinstance(tree.get("model_type"), str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", tree["model_type"]):
        refuse(path, "'model_type' as the name of an architecture", repr(tree.get("model_type"))[:80])
    architectures = tree.get("architectures")
    if not isinstance(architectures, list):
        refuse(path, "'architectures' as a list", repr(architectures)[:80])
    for name in architectures:
        _check_word(path, "architectures", name)
    if style != "native":
        if "id2label" in tree or "label2id" in tree:
            refuse(path, "no labels: the plain classifier class would open it with a random head", "'id2label'")
        return
    if labels:
        wanted = {str(number): label for number, label in enumerate(labels)}
        if tree.get("id2label") != wanted:
            refuse(path, "the labels of graft.json in their order as 'id2label'", repr(tree.get("id2label"))[:80])
        if tree.get("label2id") != {label: number for number, label in enumerate(labels)}:
            refuse(path, "the labels of graft.json in their order as 'label2id'", repr(tree.get("label2id"))[:80])


def check_tokenizer_config(path: Path, tree: Any) -> None:
    """Check that the tokenizer's classes are named by plain words."""
    tree = _object(path, tree)
    if tree.get("tokenizer_class") is not None:
        _check_word(path, "tokenizer_class", tree["tokenizer_class"])
    if tree.get("processor_class") is not None:
        _check_word(path, "processor_class", tree["processor_class"])


def check_tokenizer(path: Path, tree: Any) -> None:
    """Check that no pattern of `tokenizer.json` can take exponential time."""
    tree = _object(path, tree)
    for pattern in regexes(tree):
        reason = explosive(pattern)
        if reason:
            refuse(path, "patterns that end in time", f"{pattern[:60]!r}: {reason}")


def check_index(path: Path, tree: Any, names: set[str]) -> None:
    """Check that every shard is a file that the manifest names."""
    shards = _object(path, tree).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        refuse(path, "'weight_map' from tensors to files", repr(shards)[:80])
    for shard in shards.values():
        if not isinstance(shard, str) or not SHARD.fullmatch(shard) or shard not in names:
            refuse(path, "shards that graft.json names", repr(shard)[:80])


def check_modules(folder: Path, trees: Mapping[str, Any], pooling: str, third: str, size: int) -> None:
    """Check that the modules are transformer, pooling and `third`, in their places, with the manifest's sizes."""
    path = folder / "modules.json"
    modules = trees["modules.json"]
    names = ("Transformer", "Pooling", third)
    if not isinstance(modules, list) or len(modules) != len(names):
        refuse(path, f"three modules: {', '.join(names)}", repr(modules)[:80])
    for number, (module, name) in enumerate(zip(modules, names, strict=True)):
        place, types = MODULES[name]
        module = _object(path, module)
        if module.get("type") not in types:
            refuse(path, f"module {number} of the type {name} of Sentence Transformers", repr(module.get("type"))[:80])
        if module.get("path") != place or module.get("idx") != number:
            refuse(path, f"module {number} in '{place}'", repr(module)[:80])
    settings = _object(folder / "sentence_bert_config.json", trees["sentence_bert_config.json"])
    if not set(settings) <= {"max_seq_length", "do_lower_case"}:
        refuse(folder / "sentence_bert_config.json", "max_seq_length and do_lower_case only", repr(settings)[:80])
    pool = _object(folder / "1_Pooling/config.json", trees["1_Pooling/config.json"])
    modes = {key for key, value in pool.items() if key.startswith("pooling_mode_") and value}
    if modes != {POOLING_KEYS[pooling]} or "pooling_mode" in pool:
        refuse(folder / "1_Pooling/config.json", f"the pooling of graft.json, '{pooling}'", repr(sorted(modes)))
    if third != "Dense":
        return
    dense = _object(folder / "2_Dense/config.json", trees["2_Dense/config.json"])
    if dense.get("activation_function") != IDENTITY or dense.get("use_residual"):
        refuse(folder / "2_Dense/config.json", f"the activation {IDENTITY}", repr(dense)[:120])
    if size and dense.get("out_features") != size:
        refuse(folder / "2_Dense/config.json", f"{size} outputs, one a label", repr(dense.get("out_features"))[:80])
    shapes = {name: shape for name, (_, shape) in check_tensors(folder / "2_Dense/model.safetensors").items()}
    wanted: dict[str, tuple[Any, ...]] = {"linear.weight": (dense.get("out_features"), dense.get("in_features"))}
    if dense.get("bias", True):
        wanted["linear.bias"] = (dense.get("out_features"),)
    if shapes != wanted:
        refuse(folder / "2_Dense/model.safetensors", f"tensors {wanted}", repr(shapes)[:120])
