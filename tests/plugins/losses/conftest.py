"""Small settings for losses that look at what was there before: an earlier run, the base, general text."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from graftlm.contracts.ground import Earlier, Ground
from graftlm.contracts.values import Batch

_spec = importlib.util.spec_from_file_location(
    "training_setups", Path(__file__).parents[2] / "stages" / "training" / "conftest.py"
)
_setups = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_setups)


def batch(made: Any, rows: Any) -> Batch:
    """Return a batch of a setup's rows."""
    inputs = made.data.packed.batch(list(rows), made.model.tokenizer.pad_token_id)
    return Batch(inputs, made.task.stack([made.data.targets[row] for row in rows]), list(rows))


def batches_of(made: Any) -> Any:
    """Return what gives the first rows of a setup in batches."""

    def give(count: int, size: int) -> Any:
        for start in range(0, min(count, len(made.rows)), size):
            yield batch(made, range(start, min(start + size, count, len(made.rows))))

    return give


def grounded(backbone: Any = "tiny", *, old_head: float = 0.5, **facts: Any) -> Any:
    """Return a setup, what it stands on, and an earlier run whose base is the same and whose head is another."""
    made = _setups.Setup(backbone, 15, dropout=0.0)
    made.model.module.eval()
    old = copy.deepcopy(made.model.module)
    head = old.get_submodule(made.model.head)
    with torch.no_grad():
        drawn = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(3))
        head.weight.copy_(old_head * drawn)
    model = type(made.model)(
        old, made.model.tokenizer, made.model.card, made.model.style, made.model.base, made.model.head, ""
    )
    made.earlier = Earlier(
        model, made.task, made.space, made.base.card.limit, len(made.rows),
        lambda count, seed: made.rows.examples(0, count),
    )  # fmt: skip
    start = copy.deepcopy(made.model.module).requires_grad_(False).eval()
    made.ground = Ground(
        made.model, made.task, made.space, start=start, base=made.base, targets=made.data.targets,
        batches=batches_of(made), earlier=lambda run: made.earlier, **facts,
    )  # fmt: skip
    return made


@pytest.fixture
def ground() -> Any:
    """Return the function that makes a setup with what it stands on."""
    return grounded


@pytest.fixture
def look_at() -> Any:
    """Return the function that shows a loss the first rows of a setup."""
    from graftlm.contracts.loss import Look
    from graftlm.contracts.values import Outputs

    def show(made: Any, state: Any, count: int = 6) -> Look:
        def run(module: Any, inputs: Any) -> Outputs:
            out = module(**inputs, output_hidden_states=True)
            return Outputs(out.logits.float(), out.hidden_states, None, getattr(out, "pooled", None))

        first = batch(made, range(count))

        def again() -> Outputs:
            return run(made.model.module, first.inputs)

        return Look(first, again(), made.model, made.task, made.space, 0, again, state, again, run)

    return show


@pytest.fixture
def moved() -> Any:
    """Return the function that moves every parameter of a setup's base by noise."""

    def move(made: Any, size: float = 0.05) -> None:
        with torch.no_grad():
            for number, (name, parameter) in enumerate(made.model.module.named_parameters()):
                if name.startswith(f"{made.model.base}."):
                    noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
                    parameter.add_(size * noise)

    return move
