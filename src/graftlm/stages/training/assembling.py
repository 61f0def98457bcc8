"""Assembling: an opened base model and a task become one model."""

from __future__ import annotations

from typing import Any

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.model import Model
from graftlm.contracts.task import Task
from graftlm.contracts.values import Space
from graftlm.core.errors import UserError


def pooling_of(backbone: Backbone, base: Base) -> str | None:
    """Return the pooling to use: what the recipe says, else what the checkpoint declares; None: native."""
    wanted = backbone.pooling
    if wanted == "auto":
        return base.card.pooling if base.card.pooling in ("mean", "cls", "max") else None
    return None if wanted == "native" else wanted


def assemble(base: Base, backbone: Backbone, task: Task, space: Space, *, seed: int) -> Model:
    """Build the model of a task on a base, its head drawn from `seed`.

    Raises:
        UserError: the tokenizer has no padding token and none can stand in, or a vector is asked of a native model.
    """
    import torch

    from graftlm.nn.pooled import PooledModel

    tokenizer = _with_padding(base)
    pooling = pooling_of(backbone, base) if task.pooled else None
    if task.embeds:
        return embedding_model(base, backbone, once=task.repeats)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if pooling is not None:
            encoder = base.build("AutoModel", **_without_pooler(base.config), dtype=torch.float32)
            module = PooledModel(encoder, pooling, space.size, base.card.width)
            return Model(module, tokenizer, base.card, "pooled", "encoder", "head", task.auto_model)
        native: Any = base.build(task.auto_model, dtype=torch.float32, **task.configured(space))
    native.config.pad_token_id = tokenizer.pad_token_id
    task.with_logits(native)
    place = native.base_model_prefix if hasattr(native, native.base_model_prefix) else ""
    # the layer over the vocabulary of a model that writes is no head of the task: no probe solves it
    head = None if task.writes_with else _head(native)
    model = Model(native, tokenizer, base.card, "native", place, head, task.auto_model)
    task.furnish(model)
    return model


def embedding_model(base: Base, backbone: Backbone, *, once: bool = False) -> Model:
    """Build the model whose answers are the vectors of texts, without a head; the mean where a base declares nothing.

    Raises:
        UserError: the tokenizer has no padding token, or the recipe asks for a native model.
    """
    import torch

    from graftlm.nn.pooled import PooledModel

    if backbone.pooling == "native":
        raise UserError("Vectors of texts need a pooling: set backbone.pooling to mean, cls or max in place of native.")
    tokenizer, pooling = _with_padding(base), pooling_of(backbone, base) or "mean"
    encoder = base.build("AutoModel", **_without_pooler(base.config), dtype=torch.float32)
    module = PooledModel(encoder, pooling, None, base.card.width, once=once)
    return Model(module, tokenizer, base.card, "pooled", "encoder", None, "AutoModel")


def _with_padding(base: Base) -> Any:
    tokenizer = base.tokenizer
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise UserError(f"The tokenizer of '{base.card.name}' has no padding token; batches cannot be made.")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _without_pooler(config: Any) -> dict[str, Any]:
    """Return the option that leaves out the encoder's own pooler, where the architecture has one."""
    return {"add_pooling_layer": False} if config.model_type in _POOLERS else {}


_POOLERS = ("bert", "roberta", "xlm-roberta", "mpnet", "albert")


def _head(module: Any) -> str | None:
    """Return the path of the last linear layer outside the base model."""
    from torch import nn

    prefix = f"{module.base_model_prefix}."
    outside = [n for n, m in module.named_modules() if isinstance(m, nn.Linear) and not n.startswith(prefix)]
    return outside[-1] if outside else None
