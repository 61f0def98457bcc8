"""What the two files of a PEFT adapter may say; everything else is refused before any library reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftlm.bundle import bases
from graftlm.bundle.strict import refuse
from graftlm.bundle.tensors import check_tensors

CONFIG, TENSORS, HEAD = "adapter_config.json", "adapter_model.safetensors", "head.safetensors"
VIRTUAL = "prompt_embeddings"
"""The one tensor of virtual tokens."""
PREFIX = "base_model.model."
"""What PEFT puts before the names of tensors."""

LARGEST_RANK = 65_536

_NUMBER, _SHARE, _FLAG, _NAMES = "a number", "a share", "true or false", "names of layers"
_F = "relu, gelu or silu"
_LAYERS = {
    "fan_in_fan_out": _FLAG,
    "inference_mode": _FLAG,
    "modules_to_save": _NAMES,
    "target_modules": _NAMES,
}
_VIRTUAL = {
    "inference_mode": _FLAG,
    **dict.fromkeys(
        ("num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"), _NUMBER
    ),
}
_FIELDS: dict[str, dict[str, str]] = {
    "BOTTLENECK": {
        "target_modules": _NAMES,
        "modules_to_save": _NAMES,
        "r": _NUMBER,
        "scale": _NUMBER,
        "activation": _F,
    },
    "LORA": {**_LAYERS, "r": _NUMBER, "lora_alpha": _NUMBER, "lora_dropout": _SHARE, "use_dora": _FLAG},
    "IA3": {**_LAYERS, "feedforward_modules": _NAMES},
    "PROMPT_TUNING": _VIRTUAL,
    "P_TUNING": {**_VIRTUAL, "encoder_hidden_size": _NUMBER},
    "PREFIX_TUNING": _VIRTUAL,
}
TYPES = tuple(_FIELDS)
"""The kinds of adapters that a bundle may hold, by PEFT's names."""

_TASKS = {"SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION", None}


def is_virtual(kind: str) -> bool:
    """Tell whether a kind is one of virtual tokens, rather than of layers."""
    return "num_virtual_tokens" in _FIELDS[kind]


def written(config: Any) -> dict[str, Any]:
    """Return what is written of a PEFT configuration: what decides the answers, and nothing that names code."""
    kind = str(config.peft_type.value)
    tree: dict[str, Any] = {"peft_type": kind}
    for name in _FIELDS[kind]:
        value = getattr(config, name)
        tree[name] = sorted(value) if isinstance(value, set | list | tuple) else value
    return {**tree, "inference_mode": True}


def read(tree: Mapping[str, Any]) -> Any:
    """Return PEFT's configuration from a tree that was checked."""
    import peft

    kinds: dict[str, Any] = {"LORA": peft.LoraConfig, "IA3": peft.IA3Config}
    left_out = {"peft_type", "task_type", "base_model_name_or_path", "revision", "modules_to_save", "bias"}
    return kinds[tree["peft_type"]](**{key: value for key, value in tree.items() if key not in left_out})


def check(folder: Path, tree: Any, entry: Mapping[str, Any]) -> None:
    """Check the two files of an adapter against the manifest's entry; with the standard library alone.

    Raises:
        BundleError: a key that is not one of the kind's own, a base that the manifest does not name, tensors of
            another kind.
    """
    path = folder / CONFIG
    if not isinstance(tree, dict):
        refuse(path, "a JSON object", f"a {type(tree).__name__}")
    kind = tree.get("peft_type")
    if kind not in _FIELDS or kind != entry.get("type"):
        refuse(path, f"'peft_type' as in graft.json, one of {', '.join(TYPES)}", repr(kind)[:80])
    fields = _FIELDS[kind]
    base = entry["base"]
    fixed = {
        "base_model_name_or_path": bases.title(base), "revision": base.get("revision"), "bias": "none",
        "peft_type": kind,
    }  # fmt: skip
    for key, value in tree.items():
        if key == "task_type":
            if value not in _TASKS:
                refuse(path, "'task_type' as one of PEFT's", repr(value)[:80])
        elif key in fixed:
            if value != fixed[key]:
                refuse(path, f"'{key}' as {fixed[key]!r}, which graft.json names", repr(value)[:80])
        elif key not in fields:
            refuse(path, f"the keys of an adapter of the kind {kind}", f"the key {key!r}")
        elif not _fits(fields[key], value):
            refuse(path, f"'{key}' as {fields[key]}", repr(value)[:80])
    needed = tuple(_VIRTUAL) if is_virtual(kind) else ("target_modules",)
    missing = [name for name in (*needed, "base_model_name_or_path") if not tree.get(name)]
    if missing:
        refuse(path, f"'{missing[0]}'", "none")
    found = check_tensors(folder / TENSORS)
    if is_virtual(kind):
        width = tree["token_dim"] * (2 * tree["num_layers"] if kind == "PREFIX_TUNING" else 1)
        shape = (tree["num_virtual_tokens"], width)
        if {name: each for name, (_, each) in found.items()} != {VIRTUAL: shape}:
            refuse(folder / TENSORS, f"one tensor '{VIRTUAL}' of shape {shape}", repr(found)[:120])
        return
    for name in found:
        if not name.startswith(PREFIX):
            refuse(folder / TENSORS, f"tensors whose names begin with '{PREFIX}'", repr(name)[:80])


def _fits(kind: str, value: Any) -> bool:
    if kind == _F:
        return value in ("relu", "gelu", "silu")
    if kind == _FLAG:
        return isinstance(value, bool)
    if kind == _NAMES:
        return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 1 if kind == _SHARE else 0 < value <= LARGEST_RANK
