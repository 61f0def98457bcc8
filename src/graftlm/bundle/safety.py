"""What may stand in a bundle: plain files with known names, and configurations that name no code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graftlm.bundle import adapter_files, bases, configurations, manifest
from graftlm.bundle.strict import parse, refuse
from graftlm.bundle.tensors import check_tensors
from graftlm.core import hashing

CODE = {
    ".pickle", ".pkl", ".pk", ".bin", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".h5", ".hdf5",
    ".keras", ".pb", ".onnx", ".gguf", ".msgpack", ".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat",
    ".exe", ".zip", ".tar", ".gz", ".7z", ".egg", ".whl", ".pth.tar",
}  # fmt: skip

TOKENIZER = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "spiece.model", "spm.model", "tokenizer.model", "sentencepiece.bpe.model", "bpe.codes",
    "source.spm", "target.spm",
    "chat_template.jinja",
}  # fmt: skip
INDEX = "model.safetensors.index.json"
CHECKPOINT = {"config.json", "generation_config.json", "model.safetensors", INDEX}
POOLED = {"modules.json", "sentence_bert_config.json", "1_Pooling/config.json"}
DENSE = {"2_Dense/config.json", "2_Dense/model.safetensors"}
ADAPTER = {adapter_files.CONFIG, adapter_files.TENSORS}
NEVER_READ = {".gitattributes", "LICENSE", "NOTICE"}
"""Beside these, any `.md` file: nothing reads them, so that a model card may be edited."""

LARGEST_JSON = 256 * 1024 * 1024
"""Bytes; vocabularies of a quarter of a million words need 17 MB."""


def files_of(folder: Path) -> dict[str, Path]:
    """Return every file of a folder by its relative name, looking at names and kinds only.

    Raises:
        BundleError: a link, a pipe, a device, an archive, a pickle or code stands there.
    """
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        for item in sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name):
            path = Path(item.path)
            name = path.relative_to(folder).as_posix()
            if item.is_symlink():
                refuse(path, "a file", "a symbolic link", "Copy the bundle with its files in place of links.")
            mode = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif not stat.S_ISREG(mode):
                refuse(path, "a plain file", "a pipe, socket or device")
            elif any(suffix.lower() in CODE for suffix in path.suffixes):
                refuse(
                    path,
                    "safetensors, JSON and vocabulary files only",
                    "a file that can hold code (a pickle, an archive or a program)",
                    "Do not open it; fetch the bundle again from where it was made.",
                )
            else:
                found[name] = path
    return found


def parts_of(style: str, embeds: bool, adapter: Mapping[str, Any] | None = None) -> set[str]:
    """Return the files that a bundle has beside a plain checkpoint's."""
    parts = set() if style != "pooled" else POOLED if embeds else POOLED | DENSE
    if adapter is None:
        return parts
    apart = style == "native" and adapter_files.is_virtual(adapter["type"])
    return parts | ADAPTER | ({adapter_files.HEAD} if apart else set())


def root_of(adapter: Mapping[str, Any] | None) -> str | None:
    """Return where a bundle's plain checkpoint stands: "" for the bundle itself, None where it is not in it."""
    if adapter is None:
        return ""
    return None if bases.apart(adapter["base"]) else f"{bases.ALONG}/"


def check_names(
    folder: Path, style: str, parts: set[str], root: str | None, named: Iterable[str], present: Mapping[str, Path]
) -> None:
    """Check that the folder holds what the manifest names, all of `parts` that the style needs, and nothing else.

    `root` is where the plain checkpoint stands, None where there is none.

    Raises:
        BundleError: a file is missing, unknown, or has a name that no bundle of this style holds.
    """
    listed = set(named)
    needed = {"tokenizer_config.json"} | parts | (set() if root is None else {f"{root}config.json"})
    for name in sorted(listed | needed):
        if name not in present or name not in listed:
            why = "the bundle needs" if name in needed else "graft.json names"
            came = "none" if name not in present else "one that graft.json does not name"
            refuse(folder / name, f"this file, which {why}", came)
    inside = {name.removeprefix(root) for name in listed if name.startswith(root)} if root is not None else set()
    weights = {name for name in inside if name == "model.safetensors" or configurations.SHARD.fullmatch(name)}
    if root is not None and not weights:
        refuse(folder / f"{root}model.safetensors", "the weights", "none")
    known = TOKENIZER | parts | {f"{root}{name}" for name in (CHECKPOINT | weights if root is not None else ())}
    for name in sorted(listed):
        if name not in known and not _free(name):
            refuse(folder / name, f"the files of a {style} bundle", "one that does not belong to it")
    for name in sorted(set(present) - listed - {manifest.NAME}):
        if not _free(name):
            refuse(
                folder / name,
                "only files that graft.json names, and .md files",
                "a file that it does not name",
                "Move it out of the bundle.",
            )


def _free(name: str) -> bool:
    return name in NEVER_READ or name.lower().endswith(".md")


def check_content(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Check size and SHA-256 of each file that the manifest names.

    Raises:
        BundleError: one of them differs.
    """
    for name, entry in entries.items():
        path = folder / name
        size = path.stat().st_size
        if size != entry["size"]:
            refuse(path, f"{entry['size']} bytes", f"{size} bytes: the file is cut off or was changed")
    for name, entry in entries.items():
        digest = hashing.of_file(folder / name)
        if digest != entry["sha256"]:
            refuse(folder / name, f"SHA-256 {entry['sha256']}", f"{digest}: the file is damaged or was changed")


def check_parts(
    folder: Path,
    style: str,
    pooling: str | None,
    third: str,
    labels: list[str],
    names: Iterable[str],
    adapter: Mapping[str, Any] | None = None,
) -> None:
    """Check what the files say: tensors in range, configurations without code, labels in their order.

    `third` is the last module of a pooled bundle, "Dense" or "Normalize"; `adapter` the manifest's entry of one.

    Raises:
        BundleError: anything that could run code, reach outside the folder, or swap labels.
    """
    trees: dict[str, Any] = {}
    for name in sorted(names):
        path = folder / name
        if name.endswith(".safetensors"):
            check_tensors(path)
        elif name.endswith(".json"):
            if path.stat().st_size > LARGEST_JSON:
                refuse(path, f"at most {LARGEST_JSON} bytes", f"{path.stat().st_size}")
            trees[name] = parse(path, path.read_bytes())
    for name, tree in trees.items():
        if name == "tokenizer.json":
            configurations.check_tokenizer(folder / name, tree)
        elif name == adapter_files.CONFIG and adapter is not None:
            adapter_files.check(folder, tree, adapter)
        elif name not in ("vocab.json", "added_tokens.json"):
            configurations.check_tree(folder / name, tree)
    root = root_of(adapter)
    if root is not None:
        configurations.check_config(folder / f"{root}config.json", trees[f"{root}config.json"], style, labels)
        if f"{root}{INDEX}" in trees:
            inside = {name.removeprefix(root) for name in names if name.startswith(root)}
            configurations.check_index(folder / f"{root}{INDEX}", trees[f"{root}{INDEX}"], inside)
    configurations.check_tokenizer_config(folder / "tokenizer_config.json", trees["tokenizer_config.json"])
    if style == "pooled":
        configurations.check_modules(folder, trees, str(pooling), third, len(labels))
