"""Which other tasks columns would suit by their names, for users who have not said what the data are for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graftlm.contracts.task import Role, Task
from graftlm.core import registry


def others(task: Task, found: Callable[[Sequence[Role]], Sequence[str]]) -> str:
    """Return words that name the tasks whose columns all stand there, or nothing.

    `found(roles)` returns the names of those roles that a column is called by. Named are the tasks of which the most
    columns stand there: all that they need, and a target where they need but one column.
    """
    suited: dict[str, Sequence[str]] = {}
    for name in registry.names("task"):
        kind: Any = registry.load("task", name)
        roles = kind.roles
        there = found(roles)
        needed = [role.name for role in roles if role.required]
        targets = [role.name for role in roles if role.kind == "target"]
        whole = set(needed) <= set(there) and (len(needed) > 1 or bool(set(targets) & set(there)))
        if name != task.name() and len(there) > 1 and whole:
            suited[name] = there
    most = max(map(len, suited.values()), default=0)
    best = [name for name, roles in suited.items() if len(roles) == most]
    if not best or len(best) > 3:
        return ""
    options = " or ".join(f"--task {name} ({', '.join(suited[name])})" for name in best)
    return f"by their names they are columns for {options}"
