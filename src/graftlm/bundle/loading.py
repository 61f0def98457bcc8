"""From a verified bundle to a model that answers."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from graftlm.bundle import adapted, adapter_files, bases, narrow, shared
from graftlm.bundle.adapted import without_pooler
from graftlm.bundle.opening import Bundle
from graftlm.bundle.strict import mapping, refuse
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
    names = value["module"]
    base, head = str(names.get("base", "")), names.get("head")
    with quiet():
        tokenizer = _tokenizer(bundle)
        if bundle.shared:
            module = shared.rebuilt(bundle, _encoder(bundle, bundle.folder), tokenizer)
        elif "adapter" in value:
            module = _adapted(bundle, base, head, auto_model, tokenizer)
        else:
            module = _pooled(bundle) if bundle.style == "pooled" else _plain(bundle, bundle.folder, auto_model)
    bundle.task().with_logits(module)
    _named(bundle, module, base, head)
    place = formats.device_for(device)
    dtype, _ = formats.choose(precision, place)
    if dtype != torch.float32 or place.type != "cpu":
        module = formats.converted(module, dtype, head, place)
    model = Model(module.eval(), tokenizer, card, bundle.style, base, head, auto_model)  # type: ignore[arg-type]
    if bundle.style == "native" and (bundle.shared or ("adapter" in value and bases.apart(value["adapter"]["base"]))):
        side = tokenizer.padding_side
        bundle.task().furnish(model)
        tokenizer.padding_side = side
    return model


def _named(bundle: Bundle, module: nn.Module, *names: Any) -> None:
    for name in names:
        try:
            module.get_submodule(name or "")
        except (AttributeError, TypeError):
            refuse(bundle.folder / "graft.json", "the names of parts of the model under 'module'", repr(name)[:80])


def _adapted(bundle: Bundle, base: str, head: Any, auto_model: str, tokenizer: Any) -> nn.Module:
    """Rebuild the base, from the bundle or from where it is named, and put the adapter in."""
    entry = bundle.manifest["adapter"]
    along = bundle.folder / bases.ALONG
    if bases.apart(entry["base"]):
        opened = bases.opened(bundle.folder / adapter_files.CONFIG, entry["base"])
        plain = adapted.build(opened, bundle.style, auto_model, tokenizer, bundle.task(), bundle.space())
    else:
        plain = _encoder(bundle, along) if bundle.style == "pooled" else _plain(bundle, along, auto_model)
    module = _pooled(bundle, plain) if bundle.style == "pooled" else plain
    _named(bundle, module, base, head)
    path = bundle.folder / adapter_files.CONFIG
    kind = narrow if entry["type"] == narrow.KIND else adapted
    kind.put(bundle.folder, entry, mapping(path, path.read_bytes()), plain, module.get_submodule(base))
    return module


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


def _plain(bundle: Bundle, folder: Path, auto_model: str, **extra: Any) -> nn.Module:
    """Read a plain checkpoint and refuse one whose tensors are not exactly those of its configuration."""
    import torch
    import transformers

    cls = getattr(transformers, auto_model, None)
    if cls is None:
        refuse(bundle.folder / "graft.json", "auto_model as a class of Transformers", repr(auto_model))
    try:
        module, found = cls.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **extra,
        )
    except Exception as fault:  # any kind: the library reads what somebody else wrote
        _fail(folder, "a checkpoint", fault)
    faults = [
        f"{word.replace('_', ' ')}: {', '.join(sorted(map(str, found[word]))[:5])}"
        for word in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if found.get(word)
    ]
    if faults:
        refuse(folder / "model.safetensors", "the tensors of config.json, all and no more", "; ".join(faults))
    return module  # type: ignore[no-any-return]


def _encoder(bundle: Bundle, folder: Path) -> nn.Module:
    """Read the encoder of a bundle, with its own pooler only where it was stored."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    stored = any(name.startswith("pooler.") for file in folder.glob("*.safetensors") for name in check_tensors(file))
    return _plain(bundle, folder, "AutoModel", **({} if stored else without_pooler(config)))


def _pooled(bundle: Bundle, encoder: nn.Module | None = None) -> nn.Module:
    """Put the pooling and the head of a bundle on an encoder, its own where none is given."""
    from safetensors.torch import load_file

    from graftlm.nn.pooled import PooledModel

    encoder = _encoder(bundle, bundle.folder) if encoder is None else encoder
    if bundle.embeds:
        return PooledModel(encoder, str(bundle.pooling), None, 0)
    tensors = load_file(bundle.folder / "2_Dense/model.safetensors")
    size, width = tensors["linear.weight"].shape
    module = PooledModel(encoder, str(bundle.pooling), size, width)
    head = module.get_submodule("head")
    head.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in tensors.items()})
    return module
