"""From a verified bundle to a model that answers."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from graftlm.bundle import shared
from graftlm.bundle.opening import Bundle
from graftlm.bundle.strict import refuse
from graftlm.bundle.tensors import check_tensors
from graftlm.contracts.backbone import Card
from graftlm.contracts.model import Model
from graftlm.contracts.quiet import quiet
from graftlm.core import environment
from graftlm.core.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

    from graftlm.nn.precision import Precision


def load(bundle: Bundle, *, precision: Precision = "auto", device: str = "auto") -> Model:
    """Rebuild the model of a bundle in eval mode, in the number format that suits the device.

    The last linear layer stays in fp32.

    Raises:
        BundleError: the weights are not those of the configuration, or a library cannot read a file.
    """
    environment.settle()
    import torch

    from graftlm.nn import precision as formats

    value = bundle.manifest
    card = _card(bundle)
    auto_model = str(value.get("auto_model"))
    if not re.fullmatch(r"AutoModel(For[A-Za-z0-9]+)?", auto_model):
        refuse(bundle.folder / "graft.json", "auto_model as a class of Transformers", repr(auto_model)[:80])
    with quiet():
        tokenizer = _tokenizer(bundle)
        if bundle.shared:
            module = shared.rebuilt(bundle, _encoder(bundle, bundle.folder), tokenizer)
        else:
            module = _pooled(bundle) if bundle.style == "pooled" else _plain(bundle, auto_model)
    bundle.task().with_logits(module)
    names = value["module"]
    base, head = str(names.get("base", "")), names.get("head")
    for name in (base, head):
        try:
            module.get_submodule(name or "")
        except (AttributeError, TypeError):
            refuse(bundle.folder / "graft.json", "the names of parts of the model under 'module'", repr(name)[:80])
    place = formats.device_for(device)
    dtype, _ = formats.choose(precision, place)
    if dtype != torch.float32 or place.type != "cpu":
        module = formats.converted(module, dtype, head, place)
    model = Model(module.eval(), tokenizer, card, bundle.style, base, head, auto_model)  # type: ignore[arg-type]
    if bundle.shared and bundle.style == "native":
        bundle.task().furnish(model)
    return model


def _card(bundle: Bundle) -> Card:
    known = {field.name for field in fields(Card)}
    value = {name: item for name, item in bundle.manifest["base"].items() if name in known}
    for name in ("blocks", "languages", "notes"):
        value[name] = tuple(value.get(name, ()))
    try:
        return Card(**value)
    except TypeError as fault:
        refuse(bundle.folder / "graft.json", "a complete description of the base model", str(fault))


def _fail(folder: Path, what: str, fault: BaseException) -> NoReturn:
    reason = " ".join(str(fault).split())[:400]
    raise BundleError(
        f"{folder}: expected {what} that this version of transformers can read; got {type(fault).__name__}: {reason}. "
        "Compare 'versions' in graft.json with what is installed, and install those."
    ) from fault


def _tokenizer(bundle: Bundle) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(bundle.folder, local_files_only=True, trust_remote_code=False)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as fault:  # the libraries raise their own kinds, and a panic in Rust is no Exception
        _fail(bundle.folder, "a tokenizer", fault)


def _plain(bundle: Bundle, auto_model: str, **extra: Any) -> nn.Module:
    """Read a plain checkpoint and refuse one whose tensors are not exactly those of its configuration."""
    import torch
    import transformers

    cls = getattr(transformers, auto_model, None)
    if cls is None:
        refuse(bundle.folder / "graft.json", "auto_model as a class of Transformers", repr(auto_model))
    try:
        module, found = cls.from_pretrained(
            bundle.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **extra,
        )
    except Exception as fault:  # any kind: the library reads what somebody else wrote
        _fail(bundle.folder, "a checkpoint", fault)
    faults = [
        f"{word.replace('_', ' ')}: {', '.join(sorted(map(str, found[word]))[:5])}"
        for word in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found.get(word)
    ]
    if faults:
        refuse(bundle.folder / "model.safetensors", "the tensors of config.json, all and no more", "; ".join(faults))
    return module  # type: ignore[no-any-return]


def _encoder(bundle: Bundle, folder: Path) -> nn.Module:
    """Read the encoder of a bundle, with its own pooler only where it was stored."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    takes = MODEL_MAPPING[type(config)] if type(config) in MODEL_MAPPING else None
    cls = takes[0] if isinstance(takes, tuple) else takes
    stored = any(
        tensor.startswith("pooler.")
        for name in bundle.manifest["files"]
        if name.endswith(".safetensors") and "/" not in name
        for tensor in check_tensors(bundle.folder / name)
    )
    bare = not stored and cls is not None and "add_pooling_layer" in inspect.signature(cls.__init__).parameters
    return _plain(bundle, "AutoModel", **({"add_pooling_layer": False} if bare else {}))


def _pooled(bundle: Bundle) -> nn.Module:
    from safetensors.torch import load_file

    from graftlm.nn.pooled import PooledModel

    if bundle.embeds:
        return PooledModel(_encoder(bundle, bundle.folder), str(bundle.pooling), None, 0)
    tensors = load_file(bundle.folder / "2_Dense/model.safetensors")
    size, width = tensors["linear.weight"].shape
    module = PooledModel(_encoder(bundle, bundle.folder), str(bundle.pooling), size, width)
    head = module.get_submodule("head")
    head.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in tensors.items()})
    return module
