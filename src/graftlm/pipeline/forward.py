"""Forward transfer: what earlier runs did for a task before it is trained.

A task has no head before its own run. A linear one is solved on frozen features, once on those that the earlier runs
left and once on those of the base that the chain began with: the difference of both figures on the task's rows is
R_(i-1,i) - b_i (Lopez-Paz and Ranzato 2017, arXiv 1706.08840, equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.contracts.backbone import Backbone
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Space
from graftlm.core import log, registry
from graftlm.core.errors import UserError
from graftlm.pipeline.compare import compare_baselines
from graftlm.pipeline.work import Nobody, Work

if TYPE_CHECKING:
    from graftlm.stages.evaluating import Contender

PROBE = "probe"
"""The baseline that both figures are of."""


def forward_transfer(
    work: Work,
    runs: Sequence[str],
    splits: Mapping[str, Rows],
    task: Task,
    space: Space,
    contenders: Mapping[str, Contender],
    limit: int,
) -> dict[str, Any] | None:
    """Return both figures and their difference, None where there is no probe or the first base cannot be opened."""
    from graftlm.stages.evaluating import paired
    from graftlm.stages.training.assembling import assemble
    from graftlm.stages.training.features import Features

    if not runs or PROBE not in contenders:
        return None
    section, evaluate = work.recipe.train, work.recipe.evaluate
    backbone = first_backbone(runs[0])
    try:
        base = backbone.open()
    except UserError as fault:
        log.note(f"remember: forward transfer is left out, since the first base cannot be opened ({fault})")
        return None
    limit = min(limit, base.card.limit)
    features = Features(
        assemble(base, backbone, task, space, seed=section.seed), task, space, limit=limit, device=section.device,
        precision=section.precision, seed=section.seed,
    )  # fmt: skip
    alone = evaluate.model_copy(update={"baselines": [registry.make("baseline", PROBE)]})
    aside = Work(work.recipe.model_copy(update={"evaluate": alone}), work.folder, Nobody())
    first = compare_baselines(aside, splits, space, features, _unasked, _unasked, ())[PROBE].scores
    now = contenders[PROBE].scores
    split = "test" if "test" in now else "valid"
    if split not in now:
        return None
    gain = paired(task, now[split].grades, first[split].grades, resamples=evaluate.resamples, seed=section.seed)
    name, metric = base.card.hub_id or base.card.name, task.primary.name
    after, before = now[split].headline, first[split].headline
    return {
        "split": split, "metric": metric, "base": name, "before": before.as_json(), "after": after.as_json(),
        "gain": gain.as_json(),
        "sentence": (
            f"Before it was trained, a linear head on frozen features reached {100 * after.value:.1f} of {metric} "
            f"after the earlier runs, and {100 * before.value:.1f} on {name}, where they began: forward transfer "
            f"{100 * gain.gain:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]."
        ),
    }  # fmt: skip


def first_backbone(run: str) -> Backbone:
    """Return the backbone that a chain began with, followed back through the recipes of its runs."""
    from graftlm import recipe

    place, seen = Path(run), set[Path]()
    while True:
        seen.add(place.resolve())
        found = recipe.build(recipe.read(place / "recipe.yaml")).backbone
        folder = getattr(found, "path", None)
        before = Path(str(folder)).expanduser().parent if folder else None
        if before is None or before.resolve() in seen or not (before / "recipe.yaml").is_file():
            return found
        place = before


def _unasked(*_: Any) -> Any:
    raise RuntimeError("the probe asks for features alone")
