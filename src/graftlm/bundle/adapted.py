"""Bundles of an adapter: a plain PEFT adapter, beside its base or with the name of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
    from safetensors.torch import save_file

    from graftlm.nn import adapters

    config = adapters.config(model.module)
    if config is None:
        return None
    stem = f"{model.base}." if model.style == "pooled" else ""
    body = model.module.get_submodule(model.base)
    entry: dict[str, Any] = {"from": "bundle"}
    named = bases.named(model.card)
    if named is not None:
        base = bases.opened(inside / CONFIG, named)
        plain = build(base, model.style, model.auto_model, model.tokenizer, task, space)
        if adapters.differ(body, plain.get_submodule("" if stem else model.base)):
            log.note(f"the base's own weights changed: they go along with the adapter, in {bases.ALONG}/")
        else:
            entry = named
    entry["sha256"] = adapters.digest(body)
    if entry["from"] == "bundle":
        (inside / bases.ALONG).mkdir()
        with adapters.lifted(model.module):
            write_base(inside / bases.ALONG)
    outside = [] if stem else beside(model)
    tree = adapter_files.written(config)
    for key in ("target_modules", "feedforward_modules"):
        if key in tree:
            tree[key] = [name.removeprefix(stem) for name in tree[key]]
    kind = next((word for part, word in TASKS.items() if model.auto_model.endswith(f"For{part}")), None)
    tree |= {
        "base_model_name_or_path": bases.title(entry), "revision": entry.get("revision"),
        "modules_to_save": outside or None, "task_type": "FEATURE_EXTRACTION" if stem else kind,
    }  # fmt: skip
    tensors = {name.removeprefix(stem): tensor for name, tensor in adapters.tensors(model.module).items()}
    for part in outside:
        with adapters.lifted(model.module):
            held = model.module.get_submodule(part).state_dict()
        tensors |= {f"{part}.{name}": tensor for name, tensor in held.items()}
    kept = {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, inside / TENSORS, metadata={"format": "pt"})
    files.write_json(inside / CONFIG, tree)
    return {"type": tree["peft_type"], "base": entry}


def beside(model: Model) -> list[str]:
    """Return the parts of a native model beside its base, where it has a head: they are trained, or drawn anew."""
    if model.head is None or not model.base:
        return []
    children = model.module.named_children()
    return [name for name, part in children if name != model.base and next(part.parameters(), None) is not None]


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

    from graftlm.nn import adapters

    need("peft", "peft", "A bundle with an adapter")
    found = adapters.digest(body)
    if found != entry["base"]["sha256"]:
        bases.wrong(
            folder / CONFIG, entry["base"],
            f"one whose parameters give the digest {found[:12]}... in place of {entry['base']['sha256'][:12]}...",
        )  # fmt: skip
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in load_file(folder / TENSORS).items()}
    for name in tree.get("modules_to_save") or ():
        own = {key: tensors.pop(key) for key in list(tensors) if key.startswith(f"{name}.")}
        _fill(folder, part, name, {key.removeprefix(f"{name}."): tensor for key, tensor in own.items()})
    try:
        adapters.put(part, adapter_files.read(tree), tensors)
    except (ValueError, TypeError) as fault:
        said = " ".join(str(fault).split())[:300]
        raise BundleError(f"{folder / TENSORS}: expected the tensors of {CONFIG} on this base; got {said}.") from fault


def _fill(folder: Path, part: nn.Module, name: str, tensors: Mapping[str, Tensor]) -> None:
    try:
        part.get_submodule(name).load_state_dict(dict(tensors))
    except (AttributeError, RuntimeError) as fault:
        refuse(folder / TENSORS, f"the tensors of '{name}'", " ".join(str(fault).split())[:200])
