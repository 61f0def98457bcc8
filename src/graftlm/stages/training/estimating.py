"""Estimating: how much memory a fit will need at most, before any weights are loaded.

The model is built from its configuration with tensors that have shapes but no storage (PyTorch's FakeTensorMode), the
methods are applied to it, and one step is made on the batch with the most tokens: forward, backward, update. A
dispatch mode counts the bytes that are alive at each moment. To that come the process itself, with the libraries that
training loads, and what lies beside the step: the weights in the number format that answers, dropout's random tapes,
stored outputs of frozen blocks.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from graftlm.contracts.backbone import Base
from graftlm.contracts.method import Setting
from graftlm.contracts.model import Model
from graftlm.contracts.pretrained import from_config
from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Outputs, Space
from graftlm.core import memory
from graftlm.core.errors import UserError
from graftlm.nn import dropout, ordering, vocabulary
from graftlm.nn import precision as formats
from graftlm.nn.prefix import MEMORY_LIMIT
from graftlm.stages.training.assembling import assemble
from graftlm.stages.training.encoding import encode
from graftlm.stages.training.fitting import ORDER, Wanted
from graftlm.stages.training.groups import parameter_groups
from graftlm.stages.training.levers import LONGEST, SHORT, tied
from graftlm.stages.training.planning import plan

LIBRARIES = 130 << 20
"""What training, baselines and the report load beyond what a check has loaded (scikit-learn, SciPy, Accelerate)."""
HELD = 1.12
"""Resident bytes for each byte that tensors hold on a processor: pages that the allocator keeps, packed operands."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The peak in bytes and its parts by name; the largest batch as rows and tokens; what could not be looked at."""

    parts: dict[str, int]
    rows: int
    tokens: int
    device: str
    notes: tuple[str, ...] = field(default=())

    @property
    def peak(self) -> int:
        """Return the sum of the parts."""
        return sum(self.parts.values())

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "peak_memory_bytes": self.peak,
            "parts": self.parts,
            "largest_batch": {"rows": self.rows, "tokens": self.tokens},
            "device": self.device,
            "notes": list(self.notes),
        }


def estimate(wanted: Wanted, base: Base, space: Space, rows: Rows, *, limit: int) -> Estimate:
    """Return how much memory the fit of a recipe will need on its device: the process's on a processor, else the GPU's.

    Raises:
        UserError: the rows cannot be encoded, nothing trains, or a step cannot be followed without weights.
    """
    section, task = wanted.section, wanted.task
    device = formats.device_for(section.device)
    on_cpu = device.type == "cpu"
    process = memory.resident_bytes()
    data = encode(rows, task, base.tokenizer, space, limit)
    lengths = data.packed.lengths
    share = -(-section.batch_size // section.processes)  # of one process
    micro = min(share, section.micro_batch_size or share)
    batch = _largest(lengths, section.batch_size, section.seed, section.bucket, micro)
    pad = base.tokenizer.pad_token_id
    inputs = data.packed.batch(batch, 0 if pad is None else pad, base.tokenizer.padding_side)
    targets = task.stack([data.targets[row] for row in batch])
    short = float(lengths.mean()) <= SHORT and int(lengths.max()) <= LONGEST
    plain = on_cpu and section.fast_dropout and short
    notes: list[str] = []
    with counting() as alive:
        facts: dict[str, Any] = {"pooling": base.card.pooling, "languages": base.card.languages}
        fresh = from_config(base.config, base.tokenizer, name=base.card.name, seed=section.seed, **facts)
        model = assemble(fresh, wanted.backbone, task, space, seed=section.seed)
        weights = alive.now
        if plain:
            _plainly(model.module)
        chosen = plan(section, section.optimizer, sequences=data.units, width=base.card.width)
        adaptations = _apply(model, wanted, space, len(rows), chosen.steps, notes)
        if section.working_vocabulary and section.optimizer.elementwise and not tied(model.module):
            _working(model.module, np.union1d(data.packed.vocabulary(), [pad or 0]))
        frozen = max((a.frozen for a in adaptations if a.frozen is not None), default=0)
        held = sum(map(_bytes, (*model.module.parameters(), *model.module.buffers())))
        solved = any(a.solved for a in adaptations)
        if not solved:
            groups = parameter_groups(model, adaptations, nn.ModuleDict(), section.optimizer, chosen.rate)
            optimizer = section.optimizer.build(groups, chosen.rate)
            before = alive.now
            alive.peak = before
            try:
                _step(model, wanted, inputs, targets, device, optimizer, alive)
            except Exception as fault:  # an operation that wants numbers: tensors without storage have none
                raise UserError(
                    f"The memory cannot be estimated: a step of the task '{task.name()}' on '{base.card.name}' cannot "
                    f"be followed without weights ({type(fault).__name__}). Start the fit: where memory runs out, it "
                    "goes on in smaller micro-batches."
                ) from fault
            trainable = [p for group in optimizer.param_groups for p in group["params"]]
            gradients = sum(map(_bytes, trainable))
            states = sum(_bytes(v) for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor))
            step = alive.peak - before - states
        else:
            gradients = states = 0
            step = 0
    answering = _answering(weights, section.precision, device)
    if solved:  # the features are computed by the copy that answers, in small batches
        parts = {"weights": weights, "answering": answering}
    else:
        activations = max(0, step - gradients)
        parts = {
            "weights": max(weights, held) if on_cpu else held,  # a GPU gets what the methods made of them
            "gradients": gradients,
            "optimizer states": states,
            "activations of the largest batch": activations,
            "copies that answer": answering,
        }
        if on_cpu and section.fast_dropout:
            parts["dropout's random tape"] = _tapes(len(batch), int(lengths[batch].max()), model, plain)
    stored = 0
    if frozen and base.card.prefix_cacheable and not solved and not wanted.augmentations:
        stored = int(lengths.sum()) * base.card.width * 4
        if stored <= MEMORY_LIMIT:
            parts["outputs of frozen blocks"] = stored
    if section.processes > 1:
        notes.append(f"for each of {section.processes} processes")
    if wanted.losses:
        notes.append("what losses beside the task's own hold is not counted")
    if any(a.wrap is not None for a in adaptations):
        notes.append("what methods that go round the gradient hold beside it is not counted")
    if on_cpu:
        parts = {name: round(value * HELD) for name, value in parts.items()}
        parts = {"program and data": process + LIBRARIES, **parts}
    return Estimate(parts, len(batch), len(batch) * int(lengths[batch].max()), str(device), tuple(notes))


class Alive(TorchDispatchMode):
    """Counts the bytes of the storages that are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what it gives."""
        out = func(*args, **(kwargs or {}))
        torch.utils._pytree.tree_map_only(Tensor, self.see, out)
        return out

    def see(self, tensor: Tensor) -> Tensor:
        """Count a tensor's storage, once."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, key, size)
        return tensor

    def _gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


@contextmanager
def counting() -> Iterator[Alive]:
    """While in the block, tensors have no storage, and the bytes that they would have are counted."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    alive, convert = Alive(), nn.Module._apply
    # PEFT moves its layers to where they are already, which tensors without storage cannot bear
    nn.Module._apply = lambda self, fn, recurse=True: self  # type: ignore[method-assign]
    try:
        with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True), alive:
            yield alive
    finally:
        nn.Module._apply = convert  # type: ignore[method-assign]


def _largest(lengths: np.ndarray, size: int, seed: int, bucket: bool, micro: int) -> list[int]:
    """Return the rows of the forward pass with the most padded tokens, as the first epoch draws its batches."""
    from graftlm.core import seeds

    rng = seeds.generator(seed, "order", 0)
    batches = ordering.batches(lengths, size, rng, bucket=bucket)
    worst = max(batches, key=lambda rows: len(rows) * int(lengths[rows].max()))
    if micro < len(worst):
        return [int(row) for row in sorted(worst, key=lambda row: -int(lengths[row]))[:micro]]
    return [int(row) for row in worst]


def _apply(model: Model, wanted: Wanted, space: Space, rows: int, steps: int, notes: list[str]) -> list[Any]:
    """Apply the methods; one that needs real numbers is left out, and said."""
    setting = Setting(
        task=wanted.task, space=space, optimizer=wanted.section.optimizer, rows=rows, steps=steps,
        seed=wanted.section.seed, methods=tuple(m.name() for m in wanted.methods),
        losses=tuple(loss.name() for loss in wanted.losses),
    )  # fmt: skip
    found = []
    for method in sorted(wanted.methods, key=lambda method: ORDER[method.layout]):
        try:
            found.append(method.apply(model, setting))
        except Exception as fault:  # any operation may want numbers, which tensors without storage do not have
            notes.append(f"method '{method.name()}' is counted as if every parameter trained ({type(fault).__name__})")
    return found


class _Working(nn.Module):
    """Stands for an embedding of which only the rows in use train."""

    def __init__(self, full: nn.Embedding, rows: int) -> None:
        super().__init__()
        self.full = full.requires_grad_(False)
        self.rows = nn.Parameter(torch.empty(rows, full.embedding_dim))

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids % len(self.rows), self.rows)


def _working(module: nn.Module, ids: np.ndarray) -> None:
    table = vocabulary.input_embedding(module)
    if isinstance(table, nn.Embedding) and table.weight.requires_grad:
        path = next(name for name, part in module.named_modules() if part is table)
        parent, _, name = path.rpartition(".")
        setattr(module.get_submodule(parent), name, _Working(table, len(ids)))


def _plainly(module: nn.Module) -> None:
    """Use the attention that keeps its weights for the way back, as training does for short texts."""
    for part in module.modules():
        config: Any = getattr(part, "config", None)
        if config is not None and hasattr(part, "base_model_prefix"):
            config._attn_implementation = "eager"


def _step(
    model: Model, wanted: Wanted, inputs: Any, targets: Any, device: torch.device, optimizer: Any, alive: Alive
) -> None:
    """Make one step on the largest batch."""
    dtype, _ = formats.choose(wanted.section.precision, device)
    model.module.train()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        out = model.module(**inputs)
    loss = wanted.task.loss(Outputs(out.logits.float()), targets)
    del out
    loss.backward()
    del loss
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _answering(weights: int, precision: Any, device: torch.device) -> int:
    """Return the bytes of the copies that answer: one for frozen features, one of the bundle that is opened again."""
    dtype, _ = formats.choose(precision, device)
    return 2 * weights * dtype.itemsize // 4


def _tapes(rows: int, length: int, model: Model, plain: bool) -> int:
    config: Any = next((p.config for p in model.module.modules() if hasattr(p, "config")), None)
    heads = int(getattr(config, "num_attention_heads", 0) or 0) if plain else 0
    counts = [rows * length * model.card.width, rows * length * length * heads]
    found = 0
    for count in counts:
        size = dropout.SHORTEST
        while size < 2 * count:
            size *= 2
        found += size * 4 if count else 0
    return found


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
