"""Bundles of an adapter: a plain PEFT adapter, beside its base or with the name of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graftlm.bundle import adapter_files, bases
from graftlm.bundle.adapter_files import CONFIG, PREFIX, TENSORS
from graftlm.bundle.strict import refuse
from graftlm.contracts.backbone import Base
from graftlm.contracts.model import Model
from graftlm.contracts.values import Space
from graftlm.core import files, log
from graftlm.core.errors import BundleError
from graftlm.core.optional import need

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graftlm.contracts.task import Task
    from graftlm.nn.prompts import VirtualTokens

TASKS = {
    "SequenceClassification": "SEQ_CLS", "TokenClassification": "TOKEN_CLS", "QuestionAnswering": "QUESTION_ANS",
    "CausalLM": "CAUSAL_LM", "Seq2SeqLM": "SEQ_2_SEQ_LM",
}  # fmt: skip
"""PEFT's task type by the class of Transformers."""


def write(
    inside: Path, model: Model, task: Task, space: Space, write_base: Callable[[Path], None]
) -> dict[str, Any] | None:
    """Write the adapter that stands in a model; return the manifest's entry, None where there is none.

    The base goes along, written by `write_base(folder)`, unless it is named and holds exactly the tensors below the
    adapter.
    """
    from graftlm.nn import adapters, prompts

    body = model.module.get_submodule(model.base)
    virtual, config = prompts.inside(body), adapters.config(model.module)
    if virtual is None and config is None:
        return None
    entry = base_entry(inside, model, task, space, write_base)
    tree = _layers(inside, model, config) if virtual is None else _tokens(inside, model, virtual)
    tree |= {
        "base_model_name_or_path": bases.title(entry), "revision": entry.get("revision"), "inference_mode": True,
    }  # fmt: skip
    files.write_json(inside / CONFIG, tree)
    return {"type": tree["peft_type"], "base": entry}


def base_entry(
    inside: Path, model: Model, task: Task, space: Space, write_base: Callable[[Path], None]
) -> dict[str, Any]:
    """Return what the manifest says of the base below adapters; written along where it is not named, or has changed."""
    from graftlm.nn import adapters

    body = model.module.get_submodule(model.base)
    entry: dict[str, Any] = {"from": "bundle"}
    named = bases.named(model.card)
    if named is not None:
        base = bases.opened(inside / CONFIG, named)
        plain = build(base, model.style, model.auto_model, model.tokenizer, task, space)
        if adapters.differ(body, plain.get_submodule("" if model.style == "pooled" else model.base)):
            log.note(f"the base's own weights changed: they go along with the adapter, in {bases.ALONG}/")
        else:
            entry = named
    entry["sha256"] = adapters.digest(body)
    if entry["from"] == "bundle":
        (inside / bases.ALONG).mkdir()
        with adapters.lifted(model.module):
            write_base(inside / bases.ALONG)
    return entry


def _layers(inside: Path, model: Model, config: Any) -> dict[str, Any]:
    """Write the tensors of adapted layers and of what was trained beside the base; return the configuration."""
    from safetensors.torch import save_file

    from graftlm.nn import adapters

    stem = f"{model.base}." if model.style == "pooled" else ""
    kind = next((word for part, word in TASKS.items() if model.auto_model.endswith(f"For{part}")), None)
    tree = adapter_files.written(config)
    for key in ("target_modules", "feedforward_modules"):
        if key in tree:
            tree[key] = [name.removeprefix(stem) for name in tree[key]]
    own = {} if stem else beside(model)
    parts = sorted({name.partition(".")[0] for name in own})
    tree |= {"modules_to_save": parts or None, "task_type": "FEATURE_EXTRACTION" if stem else kind}
    tensors = {name.removeprefix(stem): tensor for name, tensor in adapters.tensors(model.module).items()}
    kept = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in (tensors | own).items()}
    save_file(kept, inside / TENSORS, metadata={"format": "pt"})
    return tree


def _tokens(inside: Path, model: Model, virtual: VirtualTokens) -> dict[str, Any]:
    """Write virtual tokens, which stand before the plain base, and a native model's head; return the configuration."""
    from safetensors.torch import save_file

    save_file({adapter_files.VIRTUAL: virtual.vectors().detach().float().cpu().contiguous()}, inside / TENSORS)
    if model.style == "native":
        own = {name: tensor.detach().cpu().contiguous() for name, tensor in beside(model).items()}
        save_file(own, inside / adapter_files.HEAD)
    return {**virtual.facts, "task_type": "FEATURE_EXTRACTION"}


def beside(model: Model) -> dict[str, Tensor]:
    """Return the tensors of a native model beside its base, where it has a head: they are trained, or drawn anew."""
    if model.head is None or not model.base:
        return {}
    state = model.module.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith(f"{model.base}.")}


def build(base: Base, style: str, auto_model: str, tokenizer: Any, task: Task, space: Space) -> nn.Module:
    """Return the plain module that a named base gives: the encoder of a pooled model, or the whole native one."""
    import torch

    if style == "pooled":
        return base.build("AutoModel", dtype=torch.float32, **without_pooler(base.config))
    native: Any = base.build(auto_model, dtype=torch.float32, **task.configured(space))
    native.config.pad_token_id = tokenizer.pad_token_id
    return cast("nn.Module", native)


def without_pooler(config: Any) -> dict[str, bool]:
    """Return the option that leaves out an encoder's own pooler, where its class has one."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    takes = MODEL_MAPPING[type(config)] if type(config) in MODEL_MAPPING else None
    cls = takes[0] if isinstance(takes, tuple) else takes
    has = cls is not None and "add_pooling_layer" in inspect.signature(cls.__init__).parameters
    return {"add_pooling_layer": False} if has else {}


def put(folder: Path, entry: Mapping[str, Any], tree: Mapping[str, Any], part: nn.Module, body: nn.Module) -> None:
    """Put the adapter of a folder, with what was trained beside it, into a plain module.

    Raises:
        BundleError: the base is not the one that it was trained on, or tensors do not fit.
    """
    from safetensors.torch import load_file

    from graftlm.nn import adapters, prompts

    tensors = tensors_for(folder, entry, body)
    if adapter_files.is_virtual(entry["type"]):
        head = folder / adapter_files.HEAD
        if head.is_file():
            own = load_file(head)
            fill(head, part, own, {name.partition(".")[0] for name in own})
        prompts.put(body, tree, tensors[adapter_files.VIRTUAL])
        return
    need("peft", "peft", "A bundle with an adapter")
    tensors = fill(folder / TENSORS, part, tensors, tree.get("modules_to_save") or ())
    try:
        adapters.put(part, adapter_files.read(tree), tensors)
    except (ValueError, TypeError) as fault:
        said = " ".join(str(fault).split())[:300]
        raise BundleError(f"{folder / TENSORS}: expected the tensors of {CONFIG} on this base; got {said}.") from fault


def tensors_for(folder: Path, entry: Mapping[str, Any], body: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a folder by their names on the base.

    Raises:
        BundleError: the base is not the one that they were trained on.
    """
    from safetensors.torch import load_file

    from graftlm.nn import adapters

    found = adapters.digest(body)
    if found != entry["base"]["sha256"]:
        bases.wrong(
            folder / CONFIG, entry["base"],
            f"one whose parameters give the digest {found[:12]}... in place of {entry['base']['sha256'][:12]}...",
        )  # fmt: skip
    return {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / TENSORS).items()}


def fill(path: Path, part: nn.Module, tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Put tensors into the named parts of a model, which stand beside its base; return the other tensors.

    Raises:
        BundleError: they are not the tensors of these parts, all and no more.
    """
    wanted = {name: each.shape for name, each in part.state_dict().items() if name.partition(".")[0] in names}
    came = {name: each for name, each in tensors.items() if name.partition(".")[0] in names}
    odd = sorted(
        name for name in wanted.keys() | came.keys() if name not in came or wanted.get(name) != came[name].shape
    )
    if odd:
        refuse(path, "the tensors of the parts beside the base, all and no more", f"others, such as '{odd[0]}'")
    part.load_state_dict(came, strict=False)
    return {name: each for name, each in tensors.items() if name not in came}
