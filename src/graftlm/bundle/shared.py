"""The bundle of several tasks: the backbone once, and `heads/TASK.safetensors` with what each task has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.bundle import manifest
from graftlm.bundle.strict import refuse
from graftlm.bundle.tensors import check_tensors
from graftlm.core.errors import UserError, listing, near

if TYPE_CHECKING:
    from torch import nn

    from graftlm.bundle.opening import Bundle

FOLDER = "heads"
TASKS = "tasks"
"""Folder of a run that holds one run folder a task."""


def head_file(name: str) -> str:
    """Return where a task's own tensors lie in the bundle."""
    return f"{FOLDER}/{name}.safetensors"


def heads_of(value: Mapping[str, Any]) -> set[str]:
    """Return the files of the heads of a manifest; a task whose answers are vectors has none."""
    return {head_file(name) for name, task in value["tasks"].items() if task["own"]}


def above(folder: Path) -> tuple[Path, ...]:
    """Return where the shared bundle lies, if the folder is that of one task of a run."""
    place = folder.absolute()
    return (place.parent.parent / "bundle",) if place.parent.name == TASKS else ()


def chosen(run: Path | str, value: Mapping[str, Any], task: str | None) -> Mapping[str, Any]:
    """Return the manifest as one of a single task: the whole of a plain bundle, the named task of a shared one.

    Raises:
        UserError: no task of that name is in it, or several are and none is named.
    """
    tasks = value["tasks"]
    if task is not None and task not in tasks:
        raise UserError(f"{run} holds no task '{task}'.{near(task, list(tasks))} It holds: {listing(list(tasks))}.")
    if value["style"] != manifest.SHARED:
        return value
    if task is None:
        if len(tasks) > 1:
            raise UserError(f"{run} holds {len(tasks)} tasks: {listing(list(tasks))}. Name one with --task NAME.")
        task = next(iter(tasks))
    entry = tasks[task]
    own = {key: entry.get(key) for key in ("style", "pooling", "max_length", "auto_model", "module")}
    told = {key: entry.get(key, {}) for key in ("metrics", "data")}
    return {**value, **own, **told, "tasks": {task: entry}, "shared": True, "seal": f"{value['seal']}/{task}"}


def check_heads(folder: Path, value: Mapping[str, Any]) -> None:
    """Check the tensors of each head: those of a linear layer of the manifest's size where the model is pooled.

    Those of a native model are checked against its class when it is loaded.

    Raises:
        BundleError: a head has other tensors.
    """
    for name, task in value["tasks"].items():
        if task["style"] == "pooled" and task["own"] != (task["module"]["head"] is not None):
            refuse(folder / manifest.NAME, f"'own' of {name!r} to say whether it has a head", repr(task["own"]))
        if manifest.embeds(task) and task["space"]["labels"]:
            refuse(
                folder / manifest.NAME, f"no labels of {name!r}, whose answers are vectors", repr(task["space"])[:80]
            )
        if not task["own"]:
            continue
        shapes = {key: shape for key, (_, shape) in check_tensors(folder / head_file(name)).items()}
        size, width = task["space"]["size"], value["base"].get("width")
        if task["style"] == "pooled" and shapes != {"head.weight": (size, width), "head.bias": (size,)}:
            refuse(folder / head_file(name), f"a linear layer from {width} to {size}", repr(shapes)[:120])
        if inside := sorted(key for key in shapes if key.startswith(f"{task['module']['base']}.")):
            refuse(folder / head_file(name), "no tensors of the backbone", repr(inside[0])[:80])


def rebuilt(bundle: Bundle, encoder: nn.Module, tokenizer: Any) -> nn.Module:
    """Return the model of the bundle's task: its class round the backbone, its own tensors from its file.

    Raises:
        BundleError: the tensors are not those of the class.
    """
    import transformers
    from safetensors.torch import load_file

    from graftlm.nn.pooled import PooledModel
    from graftlm.nn.several import own_tensors, share

    task, space, names = bundle.task(), bundle.space(), bundle.manifest["module"]
    if bundle.style == "pooled":
        size = None if bundle.embeds else space.size
        module: Any = PooledModel(encoder, str(bundle.pooling), size, int(encoder.config.hidden_size))  # type: ignore[union-attr,arg-type]
    else:
        config: Any = transformers.AutoConfig.from_pretrained(
            bundle.folder, local_files_only=True, trust_remote_code=False, **task.configured(space)
        )
        config.pad_token_id = tokenizer.pad_token_id
        cls = getattr(transformers, str(bundle.manifest["auto_model"]), None)
        if cls is None:
            refuse(
                bundle.folder / manifest.NAME, "auto_model as a class of Transformers", bundle.manifest["auto_model"]
            )
        module = cls.from_config(config)
        try:
            share(module, names["base"], encoder)
        except (ValueError, AttributeError) as fault:
            refuse(bundle.folder / manifest.NAME, f"the backbone's place in the model of {bundle.name!r}", str(fault))
    path, wanted = bundle.folder / head_file(bundle.name), own_tensors(module, names["base"])
    given = load_file(path) if bundle.manifest["tasks"][bundle.name]["own"] else {}
    faults = {key: "missing" for key in wanted.keys() - given.keys()}
    faults |= {key: "unexpected" for key in given.keys() - wanted.keys()}
    faults |= {key: "of another shape" for key in wanted.keys() & given.keys() if wanted[key].shape != given[key].shape}
    if faults:
        told = ", ".join(f"{key} ({what})" for key, what in sorted(faults.items())[:5])
        refuse(path, f"the tensors that {type(module).__name__} has beside its backbone, all and no more", told)
    module.load_state_dict(given, strict=False)
    return module  # type: ignore[no-any-return]
