"""Writing a bundle: a plain checkpoint first, the manifest last, the folder in one move."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.bundle import adapted, card, manifest, narrow
from graftlm.bundle.configurations import IDENTITY, POOLING_KEYS
from graftlm.bundle.opening import verified
from graftlm.contracts.model import Model
from graftlm.contracts.quiet import quiet
from graftlm.contracts.values import Space
from graftlm.core import files

if TYPE_CHECKING:
    from graftlm.contracts.task import Task

PACKAGES = ("graftlm", "torch", "transformers", "tokenizers", "safetensors", "numpy", "sentence-transformers", "peft")

OF_THIS_MACHINE = {
    "_name_or_path", "name_or_path", "is_local", "local_files_only", "tokenizer_file", "vocab_file", "merges_file",
    "special_tokens_map_file", "fast_tokenizer_files", "auto_map", "_attn_implementation_autoset",
    "_attn_implementation_internal", "_commit_hash",
}  # fmt: skip
"""Keys that some base models carry along: paths of the machine that saved them, or names of code."""

OF_A_CLASSIFIER = {"id2label", "label2id", "num_labels", "problem_type", "finetuning_task"}


def write(
    folder: Path,
    model: Model,
    task: Task,
    space: Space,
    *,
    max_length: int,
    roles: Sequence[str] | None = None,
    recipe: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    limits: Sequence[str] = (),
) -> Path:
    """Write the bundle of one task, or nothing: a folder that stands at `folder` is replaced in one move.

    `roles` are the text roles that the model was trained to read (None: those that the task requires),
    `max_length` the longest input in tokens, `metrics` the content of metrics.json, `data` the rows of
    each split by name, `limits` sentences for the model card. Paths of this machine are cut to their
    last part in everything that is written.

    Raises:
        BundleError: what was written does not pass the checks that opening it makes.
    """
    if roles is None:
        roles = [role.name for role in task.roles if role.kind == "text" and role.required]
    with files.writing_folder(folder) as inside:
        with quiet():
            base = partial(_encoder if model.style == "pooled" else _native, model=model, space=space)
            adapter = narrow.write(inside, model, task, space, base) or adapted.write(inside, model, task, space, base)
            if adapter is None:
                base(inside)
            if model.style == "pooled":
                _pooled(inside, model, max_length)
            _tokenizer(inside, model.tokenizer, max_length, task.writes_with == model.card.stack == "decoder")
        facts: dict[str, Any] = {
            "format_version": manifest.NEWEST if adapter else manifest.FORMAT,
            **({"adapter": adapter} if adapter else {}),
            "tasks": {task.name(): asked(task, space, roles)},
            **form(model, max_length),
            **came_from(model, recipe, lineage),
            "metrics": without_paths(metrics or {}),
            "data": without_paths(data or {}),
        }
        finish(inside, facts, card.text(facts, [*limits, *task.remarks(space)], says=task.says, plainly=task.plainly))
    return folder


def asked(task: Task, space: Space, roles: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest says of a task."""
    fields = task.model_dump(mode="json")
    return {"use": task.name(), "fields": fields, "roles": list(roles), "space": space.as_json()}


def form(model: Model, max_length: int) -> dict[str, Any]:
    """Return what the manifest says of how a model is put together."""
    return {
        "style": model.style,
        "pooling": _module_of(model).pooling if model.style == "pooled" else None,
        "max_length": max_length,
        "auto_model": model.auto_model,
        "module": {"base": model.base, "head": model.head},
    }


def came_from(model: Model, recipe: Mapping[str, Any] | None, lineage: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the manifest says of where a model came from, without paths of this machine."""
    return {
        "base": without_paths(asdict(model.card)),
        "licence": model.card.licence,
        "recipe": without_paths(recipe or {}),
        "lineage": without_paths(lineage or {}),
        "versions": versions(),
    }


def finish(inside: Path, facts: dict[str, Any], said: str) -> None:
    """Write the card, then the manifest over all that lies in the folder, and check it as opening it does."""
    (inside / "README.md").write_text(said, encoding="utf-8")
    written = sorted(path for path in inside.rglob("*") if path.is_file() and path.suffix != ".md")
    facts["files"] = {path.relative_to(inside).as_posix(): manifest.entry(path) for path in written}
    (inside / manifest.NAME).write_bytes(manifest.sealed(facts))
    verified(inside)


def without_paths(value: Any) -> Any:
    """Return JSON with each absolute path cut to its last part: it says nothing elsewhere, and names people."""
    if isinstance(value, Mapping):
        return {str(key): without_paths(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, str) and (os.path.isabs(value) or re.match(r"[A-Za-z]:[\\/]|\\\\|~[\\/]", value)):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the weights went through."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _module_of(model: Model) -> Any:
    return model.module


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _edit(path: Path, drop: set[str], **put: Any) -> None:
    tree = json.loads(path.read_text(encoding="utf-8"))
    _json(path, {**{key: item for key, item in tree.items() if key not in drop}, **put})


def _encoder(inside: Path, model: Model, space: Space) -> None:
    encoder = _module_of(model).encoder
    encoder.save_pretrained(inside)
    _edit(inside / "config.json", OF_THIS_MACHINE | OF_A_CLASSIFIER, architectures=[type(encoder).__name__])


def _native(inside: Path, model: Model, space: Space) -> None:
    _module_of(model).save_pretrained(inside)
    labels: dict[str, Any] = {}
    if space.labels:
        labels["id2label"] = {str(number): label for number, label in enumerate(space.labels)}
        labels["label2id"] = {label: number for number, label in enumerate(space.labels)}
    _edit(inside / "config.json", OF_THIS_MACHINE, **labels)


def _pooled(inside: Path, model: Model, max_length: int) -> None:
    """Write the modules beside the encoder in the form that Sentence Transformers reads since version 2.

    The third is the head, or what makes vectors one long.
    """
    from safetensors.torch import save_file

    module = _module_of(model)
    head = module.head
    last = ("Normalize", "2_Normalize") if head is None else ("Dense", "2_Dense")
    kinds = (("Transformer", ""), ("Pooling", "1_Pooling"), last)
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds)
    ]
    _json(inside / "modules.json", modules)
    _json(inside / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    pooling = {key: name == module.pooling for name, key in POOLING_KEYS.items()}
    _json(inside / "1_Pooling/config.json", {"word_embedding_dimension": model.card.width, **pooling})
    if head is None:
        return
    dense = {
        "in_features": head.in_features,
        "out_features": head.out_features,
        "bias": head.bias is not None,
        "activation_function": IDENTITY,
    }
    _json(inside / "2_Dense/config.json", dense)
    tensors = {f"linear.{name}": tensor.detach().float().cpu() for name, tensor in head.named_parameters()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, inside / "2_Dense/model.safetensors")


def _tokenizer(inside: Path, tokenizer: Any, max_length: int, left: bool) -> None:
    """Write the tokenizer, without what its last call left in it and with the inputs that it gave in training.

    `left` says that whoever opens the bundle is to pad at the front, where a decoder goes on from the end.
    """
    tokenizer.save_pretrained(inside)
    names = list(tokenizer.model_input_names)
    put = {"padding_side": "left"} if left else {}
    _edit(
        inside / "tokenizer_config.json", OF_THIS_MACHINE, model_max_length=max_length, model_input_names=names, **put
    )
    fast = inside / "tokenizer.json"
    if fast.exists():
        _edit(fast, set(), truncation=None, padding=None)


__all__ = ["versions", "without_paths", "write"]
