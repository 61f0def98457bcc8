"""Processes that train together: what they tell each other in a step, and how a fault of one ends all."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from graftlm.core import memory
from graftlm.core.errors import GraftError
from graftlm.stages.training.snapshots import seed_generators

BUCKET = 1 << 25
"""Bytes of gradients that are added up at a time: their copy is all the memory that this takes."""
SMALL = 4096
"""Bytes of a shared value that travel at once; a longer one takes a second message."""


class Shortage(MemoryError):
    """Memory ran out in one of several processes: each of them takes its half-made step back."""


class Alone:
    """One process: nobody to talk to, so that nothing is done and nothing costs time."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.rank, self.world = 0, 1

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that judges, writes and prints."""
        return self.rank == 0

    def total(self, count: int) -> float:
        """Return the sum of a count over all processes."""
        return float(count)

    def begin(self, parameters: Sequence[Tensor]) -> None:
        """Make ready for the gradient of one effective batch."""

    def own_numbers(self, *names: Any) -> contextlib.AbstractContextManager[None]:
        """Draw random numbers of this process's own in the block: those outside are the same in all processes."""
        return contextlib.nullcontext()

    def add_up(self, parameters: Sequence[Tensor], loss: float) -> float:
        """Add the gradients up over all processes; return the sum of the losses."""
        return loss

    def failed(self, fault: Exception) -> None:
        """Tell the others, who wait to add up, that this process has no gradient to give."""

    def remember(self, modules: Sequence[nn.Module]) -> None:
        """Look at the buffers ahead of a step."""

    def same_buffers(self) -> None:
        """Bring together what the processes have changed in the buffers since `remember`."""

    def same_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""

    def compare(self, tensors: Sequence[Tensor]) -> None:
        """Make sure that the tensors are those of the first process."""

    def pulse(self, seconds: float, stop: bool, speak: bool) -> tuple[float, bool, bool]:
        """Agree on the first process's clock, on a stop that any was asked for, on the first one's wish to speak."""
        return seconds, stop, speak

    def share(self, value: Any) -> Any:
        """Return the first process's value, in JSON types."""
        return value

    def spread(self, snapshot: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return the first process's snapshot."""
        return snapshot


class Together(Alone):
    """One of several processes, over torch's process group; `lost(fault)` says why another one does not answer."""

    def __init__(
        self, rank: int, world: int, device: torch.device, lost: Callable[[BaseException | None], BaseException]
    ) -> None:
        super().__init__(device)
        self.rank, self.world, self.lost = rank, world, lost
        self.broken = False  # nobody can be reached any more
        self.width = 0  # parameters that train
        self.held: list[Tensor | None] = []
        self.buffers: list[tuple[Tensor, Tensor, int]] = []

    def _sum(self, tensor: Tensor) -> Tensor:
        try:
            distributed.all_reduce(tensor)
        except RuntimeError as fault:
            self.broken = True
            raise self.lost(fault) from fault
        return tensor

    def _send(self, tensor: Tensor) -> Tensor:
        """Send the first process's tensor to all; the first one may keep them waiting for long."""
        try:
            work = distributed.broadcast(tensor, 0, async_op=True)
            if tensor.device.type != "cpu":
                work.wait()
                return tensor
            pause = 1e-4
            while not work.is_completed():  # not work.wait(): no signal would be heard in there
                time.sleep(pause)
                pause = min(0.02, 1.5 * pause)
            work.wait()
        except RuntimeError as fault:
            self.broken = True
            raise self.lost(fault) from fault
        return tensor

    def total(self, count: int) -> float:
        return float(self._sum(torch.tensor(float(count), dtype=torch.float64)))

    def begin(self, parameters: Sequence[Tensor]) -> None:
        self.width = len(parameters)
        # what an earlier pass of this step has left is added up already
        self.held = [p.grad for p in parameters] if any(p.grad is not None for p in parameters) else []
        for parameter in parameters if self.held else ():
            parameter.grad = None

    @contextlib.contextmanager
    def own_numbers(self, *names: Any) -> Iterator[None]:
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()
        on_device = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        seed_generators(*names, self.rank)
        try:
            yield
        finally:
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])
            if on_device is not None:
                torch.cuda.set_rng_state(on_device, self.device)

    def add_up(self, parameters: Sequence[Tensor], loss: float) -> float:
        head = torch.tensor([0.0, 0.0, loss, *(p.grad is not None for p in parameters)], dtype=torch.float64)
        broken, short, loss, *there = self._sum(head).tolist()
        if broken:
            raise self.lost(None)
        if short:
            raise Shortage("memory ran out in another process")
        # a parameter that no process has used keeps no gradient: zeros would let weight decay move it
        used = [p for p, count in zip(parameters, there, strict=True) if count]
        for bucket in _buckets(used):
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket])
            for parameter, part in zip(bucket, self._sum(flat).split([p.numel() for p in bucket]), strict=True):
                if parameter.grad is None:
                    parameter.grad = part.view_as(parameter).clone()
                else:
                    parameter.grad.copy_(part.view_as(parameter))
        for parameter, before in zip(parameters, self.held, strict=False):
            if before is not None:
                parameter.grad = before if parameter.grad is None else before.add_(parameter.grad)
        self.held = []
        return float(loss)

    def failed(self, fault: Exception) -> None:
        if self.broken:
            return
        short = memory.ran_out(fault)
        head = torch.zeros(3 + self.width, dtype=torch.float64)
        head[1 if short else 0] = 1.0
        broken = self._sum(head)[0]
        if short:
            raise self.lost(None) if broken else Shortage(str(fault)) from fault

    def remember(self, modules: Sequence[nn.Module]) -> None:
        self.buffers = [(b, b.clone(), b._version) for module in modules for b in module.buffers()]

    def same_buffers(self) -> None:
        if not self.buffers:
            return
        changed = torch.tensor([float(b._version != version) for b, _, version in self.buffers])
        for (buffer, before, _), count in zip(self.buffers, self._sum(changed).tolist(), strict=True):
            if not count:
                continue
            # each element: the mean change of the processes that changed it. A running mean gets their mean, a memory
            # of the rows what the one that saw the row has written, a counter one step
            moved = buffer.to(torch.float64) - before.to(torch.float64)
            touched = self._sum((moved != 0).to(torch.float64))
            new = before.to(torch.float64) + self._sum(moved) / touched.clamp(min=1)
            buffer.copy_(new if buffer.is_floating_point() else new.round())

    def same_tensors(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            if tensor.numel() == 0:
                continue
            own = tensor.detach().contiguous()
            self._send(own)
            if own.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(own)

    def compare(self, tensors: Sequence[Tensor]) -> None:
        sums = torch.stack([t.detach().double().abs().sum().cpu() for t in tensors])
        first = self._send(sums.clone())
        apart = float(((sums - first).abs() / first.clamp(min=1e-6)).max())
        if float(self._sum(torch.tensor(float(apart > 1e-3)))):
            raise GraftError(
                "The processes' weights have drifted apart: a method or a loss changes weights by what only one "
                "process sees (its rows, its own random numbers). Train with --processes 1, and report it."
            )

    def pulse(self, seconds: float, stop: bool, speak: bool) -> tuple[float, bool, bool]:
        told = [seconds if self.leads else 0.0, float(stop), float(speak and self.leads)]
        seconds, stops, speaks = self._sum(torch.tensor(told, dtype=torch.float64)).tolist()
        return seconds, stops > 0, speaks > 0

    def share(self, value: Any) -> Any:
        data = json.dumps(value).encode() if self.leads else b""
        head = torch.zeros(SMALL, dtype=torch.uint8)
        if self.leads:
            first = len(data).to_bytes(8, "little") + data
            _fill(head, first[:SMALL])
        self._send(head)
        held = head.numpy().tobytes()
        length = int.from_bytes(held[:8], "little")
        data = held[8 : 8 + length] + self.share_bytes(data[SMALL - 8 :], max(0, length - (SMALL - 8)))
        return json.loads(data)

    def share_bytes(self, data: Any, length: int) -> bytes:
        """Return the first process's bytes, of a length that all know; the others' `data` is not looked at."""
        out = bytearray(length)
        for start in range(0, length, BUCKET):
            size = min(BUCKET, length - start)
            piece = torch.empty(size, dtype=torch.uint8)
            if self.leads:
                _fill(piece, memoryview(data)[start : start + size])
            out[start : start + size] = self._send(piece).numpy().tobytes()
        return bytes(out)

    def spread(self, snapshot: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        told = None
        if self.leads and snapshot is not None:
            told = {
                "facts": snapshot["facts"],
                "tensors": [[n, list(t.shape), str(t.dtype)[6:]] for n, t in snapshot["tensors"].items()],
            }
        told = self.share(told)
        if told is None:
            return None
        tensors: dict[str, Tensor] = {}
        for name, shape, dtype in told["tensors"]:
            if snapshot is not None:
                tensors[name] = snapshot["tensors"][name].contiguous()
            else:
                tensors[name] = torch.empty(shape, dtype=getattr(torch, dtype))
            if tensors[name].numel():
                self._send(tensors[name])
        return {"tensors": tensors, "facts": told["facts"]}


def _fill(tensor: Tensor, data: Any) -> None:
    tensor.numpy()[: len(data)] = np.frombuffer(data, dtype=np.uint8)


def _buckets(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield neighbours of one type and device, some megabytes at a time."""
    bucket: list[Tensor] = []
    size = 0
    for parameter in parameters:
        kind = (parameter.dtype, parameter.device)
        if bucket and (size >= BUCKET or kind != (bucket[0].dtype, bucket[0].device)):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.numel() * parameter.element_size()
    if bucket:
        yield bucket
