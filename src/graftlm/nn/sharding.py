"""Sharding: parameters, gradients and optimizer state cut over processes, each block put together while it is needed.

Torch's FSDP2 (`fully_shard`); Zhao et al. 2023, arXiv:2304.11277, section 3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module: nn.Module, blocks: Sequence[str], device: torch.device, world: int) -> None:
    """Cut the parameters of a module over the processes, block by block; gradients are summed, not averaged.

    Each process must hold the same weights, and run as many passes as the others.
    """
    # a view that a block returns is not changed in place by any model of Transformers
    warnings.filterwarnings("ignore", message=".*returned a view tensor.*", category=UserWarning)
    mesh = init_device_mesh(device.type, (world,))
    for part in [*(module.get_submodule(path) for path in blocks), module]:
        fully_shard(part, mesh=mesh)
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from its shards; every process must ask, in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut_like(value: Tensor, like: Tensor) -> Tensor:
    """Return this process's shard of a whole tensor that every process holds, cut as `like` is."""
    if not isinstance(like, DTensor):
        return value
    moved = value.to(device=like.device, dtype=like.dtype)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)
