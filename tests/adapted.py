"""Models with adapters that are no longer where they started."""

from __future__ import annotations

from typing import Any

import torch

from graftlm.contracts.method import Setting
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.stages.training.assembling import assemble

TASK = registry.make("task", "classification")


def moved(backbone: Any, method: Any, space: Space, *, seed: int = 0, noise: int = 0, **fields: Any) -> Any:
    """Return a model of a base drawn with `seed`, its adapters and its head moved by `noise`, ready to be written."""
    made = registry.make("backbone", backbone)
    model = assemble(made.open(), made, TASK, space, seed=seed)
    setting = Setting(task=TASK, space=space, optimizer=None, rows=3, steps=3, seed=0, methods=(method,))
    record = registry.make("method", {"use": method, "merge": False, "head": "random", **fields})
    assert record.refuses(model, setting) is None
    adaptation = record.apply(model, setting)
    generator = torch.Generator().manual_seed(noise)
    with torch.no_grad():
        for _, parameter in sorted(model.module.named_parameters()):
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    adaptation.finish()
    return model


def logits(model: Any) -> torch.Tensor:
    batch = model.tokenizer(["hello there", "a longer text is here"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model.module.eval()(**batch).logits
