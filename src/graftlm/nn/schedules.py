"""Learning-rate schedules: a multiplier in [0, 1] from the share of training that is done.

The shapes are those of Transformers' schedulers; as functions of a share rather than of a step they can end
at a time as well as at a step.
"""

from __future__ import annotations

import math

DECAY = 0.2
"""Share of the run over which `wsd` falls (Hägele et al. 2024, arXiv:2405.18392, section 4: 20 %)."""


def multiplier(schedule: str, done: float, warmup: float) -> float:
    """Return the multiplier at the share `done` in [0, 1]; rises linearly over the share `warmup` first."""
    if done < warmup:
        return done / warmup
    rest = (done - warmup) / (1 - warmup) if warmup < 1 else 1.0
    if schedule == "linear":
        return max(0.0, 1 - rest)
    if schedule == "cosine":
        return max(0.0, 0.5 * (1 + math.cos(math.pi * min(1.0, rest))))
    if schedule == "wsd":
        left = (1 - done) / DECAY
        return 1.0 if left >= 1 else max(0.0, 1 - math.sqrt(max(0.0, 1 - left)))
    return 1.0
