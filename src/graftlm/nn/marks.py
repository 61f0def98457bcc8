"""Marks of weights: what is kept on disk under them is found again only for the same numbers."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def of_weights(module: nn.Module) -> str:
    """Return a hash of the names, shapes and values of all tensors of a module."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
