"""Small training jobs on random models, put together from the parts that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Score
from graftlm.core import registry
from graftlm.recipe import TrainSection
from graftlm.stages.training.assembling import assemble
from graftlm.stages.training.encoding import encode
from graftlm.stages.training.job import Job
from graftlm.stages.training.loop import train
from graftlm.stages.training.planning import Plan

TEXTS = {
    "card": ["my card", "the plastic card is lost", "card pin", "where is the card that I asked for", "a card"],
    "money": ["send money", "transfer to an iban", "a payment of money failed", "money", "pay my mother abroad now"],
    "trip": ["travel abroad", "a hotel by the sea and a flight", "flight", "the trip", "travel for a whole long month"],
}


def rows(count: int = 15, *, name: str = "train") -> Rows:
    """Return rows of three classes, in turns."""
    labels = list(TEXTS)
    pairs = [(TEXTS[labels[n % 3]][n // 3 % 5], labels[n % 3]) for n in range(count)]
    table = pa.table(
        {
            "text": [text for text, _ in pairs],
            "label": [label for _, label in pairs],
            "__id__": [str(n) for n in range(count)],
            "__where__": [f"rows:{n + 1}" for n in range(count)],
        }
    )
    return Rows(name, table, "label", f"{name}{count}".ljust(64, "0"))


class Setup:
    """A job on a random model: `backbone` as in a recipe, everything else set in the call of `job` or `train`."""

    def __init__(self, backbone: Any = "tiny", count: int = 15, *, dropout: float | None = None, seed: int = 0) -> None:
        from graftlm.stages.training.processes import Alone

        self.rows = rows(count)
        self.task = registry.make("task", "classification")
        self.backbone = registry.make("backbone", backbone)
        self.space = self.task.space(self.rows)
        self.base = self.backbone.open()
        if dropout is not None:
            set_dropout(self.base.config, dropout)
        self.model = assemble(self.base, self.backbone, self.task, self.space, seed=seed)
        self.data = encode(self.rows, self.task, self.model.tokenizer, self.space, self.base.card.limit)
        self.accelerator = Alone()

    def section(self, **changes: Any) -> TrainSection:
        """Return how to train: fp32 on the processor, batches of four."""
        plain = {"batch_size": 4, "precision": "fp32", "device": "cpu", "working_vocabulary": False, "warmup": 0.0}
        return TrainSection(**{**plain, "fast_dropout": False, **changes})

    def job(self, *, steps: int = 8, rate: float = 3e-3, batch_size: int = 4, **changes: Any) -> Job:
        """Return the job of so many steps."""
        per_epoch = -(-len(self.rows) // batch_size)
        plan = Plan(epochs=steps / per_epoch, steps=steps, steps_per_epoch=per_epoch, rate=rate, reasons=())
        return Job(self.model, self.task, self.space, self.data, plan, **changes)

    def train(
        self,
        *,
        steps: int = 8,
        rate: float = 3e-3,
        job: dict[str, Any] | None = None,
        resume: Any = None,
        **changes: Any,
    ) -> list[Any]:
        """Train to the end and return every Progress."""
        section = self.section(**changes)
        made = self.job(steps=steps, rate=rate, batch_size=section.batch_size, **(job or {}))
        return list(train(made, section, self.accelerator, resume))

    def weights(self) -> dict[str, Any]:
        """Return copies of all weights."""
        return {name: tensor.clone() for name, tensor in self.model.module.state_dict().items()}


def set_dropout(config: Any, rate: float) -> None:
    """Set every dropout of a configuration."""
    for key, value in config.to_dict().items():
        if isinstance(value, float) and ("dropout" in key or key.endswith("_pdrop")):
            setattr(config, key, rate)


def judge(values: Sequence[float]) -> Any:
    """Return a judge that gives these values in turn."""
    left = list(values)
    return lambda model: Score(left.pop(0), n=10)


@pytest.fixture
def setup() -> type[Setup]:
    """Return the class that puts jobs together."""
    return Setup


@pytest.fixture
def make_rows() -> Any:
    """Return the function that makes rows."""
    return rows


@pytest.fixture
def judge_of() -> Any:
    """Return the function that makes judges."""
    return judge
