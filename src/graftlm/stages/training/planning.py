"""What a recipe leaves open: chosen by the size of the data and the machine, and said."""

from __future__ import annotations

import math
from dataclasses import dataclass

from graftlm.contracts.optimizer import Optimizer
from graftlm.recipe import TrainSection

RATE = 2e-4
"""Peak learning rate of AdamW for a small encoder at batch size 32."""
STANDARD_WIDTH, STANDARD_BATCH = 384, 32
FEWEST_STEPS, MOST_EPOCHS, FEWEST_EPOCHS = 400, 20.0, 2.0
USUAL_EPOCHS, USUAL_ROWS = 4.0, 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast: epochs, steps in all, peak learning rate, and the reasons in words."""

    epochs: float
    steps: int
    steps_per_epoch: int
    rate: float
    reasons: tuple[str, ...]


def plan(section: TrainSection, optimizer: Optimizer, *, sequences: int, width: int) -> Plan:
    """Return the plan for so many sequences on a model of a width.

    Few rows get more epochs, so that there are some hundreds of updates (Mosbach et al. 2021,
    arXiv:2006.04884, section 6: small sets fail for want of steps); many rows get fewer. The learning
    rate falls with the width of the model.
    """
    reasons = []
    per_epoch = max(1, math.ceil(sequences / section.batch_size))
    epochs = section.epochs
    if epochs is None:
        wanted = FEWEST_STEPS / per_epoch
        shrink = USUAL_EPOCHS * math.sqrt(USUAL_ROWS / sequences) if sequences > USUAL_ROWS else USUAL_EPOCHS
        epochs = float(round(min(MOST_EPOCHS, max(wanted, shrink, FEWEST_EPOCHS))))
        reasons.append(f"{epochs:g} epochs, chosen for {sequences:,} training sequences (train.epochs)")
    rate = optimizer.rate
    if rate is None:
        rate = RATE * optimizer.typical_rate() * min(1.0, (STANDARD_WIDTH / width) ** 1.0)
        rate *= math.sqrt(section.batch_size / STANDARD_BATCH)
        rate = float(f"{rate:.2g}")
        reasons.append(f"peak learning rate {rate:g}, chosen for width {width} (train.optimizer.rate)")
    return Plan(epochs, max(1, math.ceil(per_epoch * epochs)), per_epoch, rate, tuple(reasons))
