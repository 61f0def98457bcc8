"""Processes: which one this is of several that train together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from graftlm.core.errors import UserError

LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun and accelerate launch set for each process that they start."""


@dataclass(frozen=True, slots=True)
class Place:
    """The number of this process among all (`rank` of `world`) and among those of its machine (`local` of `here`)."""

    rank: int = 0
    world: int = 1
    local: int = 0
    here: int = 1

    @property
    def launched(self) -> bool:
        """Tell whether a launcher has started several processes, and this is one of them."""
        return self.world > 1


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Return what a launcher has said about this process; without one it stands alone.

    Raises:
        UserError: what the launcher has said makes no sense.
    """
    if any(name not in environment for name in LAUNCHER):
        return Place()
    try:
        rank, world = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local = int(environment.get("LOCAL_RANK", rank))
        here = int(environment.get("LOCAL_WORLD_SIZE", world))
        int(environment["MASTER_PORT"])
    except ValueError:
        rank = world = local = here = -1
    if not (0 <= rank < world and 0 <= local < here <= world):
        told = ", ".join(f"{name}={environment[name]}" for name in LAUNCHER)
        raise UserError(
            f"The environment says that this is one of several processes ({told}), but not in numbers that can be. "
            "Start them with torchrun or accelerate launch, or unset these variables."
        )
    return Place(rank, world, local, here)


def follows() -> bool:
    """Tell whether another process leads, one that reads, judges, writes and prints."""
    return place().rank > 0


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
