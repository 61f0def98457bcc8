"""The baselines of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Score, Space
from graftlm.core import cache, environment, hashing, log, registry
from graftlm.pipeline.work import Work

if TYPE_CHECKING:
    import numpy as np

    from graftlm.contracts.verdict import Scores
    from graftlm.stages.evaluating import Contender, OwnMetric
    from graftlm.stages.training.features import Features


KEPT_FROM = 20_000
"""Training rows from which on the figures of a baseline are kept for the next run of the same recipe."""


def compare_baselines(
    work: Work,
    splits: Mapping[str, Rows],
    space: Space,
    features: Features,
    scratch: Callable[[], Callable[[Rows], Sequence[Answer]]],
    vectors: Callable[[Sequence[str]], np.ndarray],
    own: Sequence[OwnMetric],
) -> dict[str, Contender]:
    """Fit and score each baseline on the validation and test rows."""
    from graftlm.contracts.baseline import BaselineSetting
    from graftlm.stages.evaluating import Contender, score

    recipe, task, rows = work.recipe, work.recipe.task, splits["train"]
    asked = recipe.evaluate.baselines
    if asked == "none":
        return {}
    chosen = [registry.make("baseline", name) for name in task.rivals()] if asked == "auto" else asked
    setting = BaselineSetting(
        task, space, recipe.train.seed, features=features, probe=lambda: features.probe(rows), scratch=scratch,
        tokenizer=features.tokenizer,
        valid=splits.get("valid"),
        vectors=vectors,
    )  # fmt: skip
    found = {}
    for baseline in chosen:
        work.stage(f"baseline {baseline.name()}")
        key = None
        if len(rows) >= KEPT_FROM and not own and (features.module is not None or not baseline.pretrained):
            marks = [environment.code_mark(), environment.file_mark(type(baseline).__module__), features.mark()]
            contents = {name: split.fingerprint for name, split in splits.items()}
            key = hashing.of_value([recipe.fingerprint(), baseline.as_use(), contents, marks])
            if (place := cache.find("baselines", key)) is not None:
                found[baseline.name()] = Contender(_read(place), baseline.pretrained)
                log.note(f"cache: the figures of '{baseline.name()}' are taken from an earlier run on the same rows")
                continue
        fitted = baseline.fit(rows, setting)
        scores = {}
        for split in ("valid", "test"):
            if split in splits and len(splits[split]):
                examples = splits[split].examples()
                scores[split] = score(
                    task, fitted(splits[split]), examples, space,
                    resamples=recipe.evaluate.resamples, seed=recipe.train.seed, own_metrics=own,
                )  # fmt: skip
        found[baseline.name()] = Contender(scores, baseline.pretrained)
        if key is not None:
            _keep(key, scores, f"{baseline.name()} on {len(rows):,} rows")
    return found


def _keep(key: str, scores: Mapping[str, Scores], about: str) -> None:
    """Keep the figures of a baseline for the next run, unless its grades are more than numbers."""
    import numpy as np

    tree = {split: [one.primary, one.as_json(), list(one.grades)] for split, one in scores.items()}
    columns = [column for one in scores.values() for column in one.grades.values()]
    if not columns or any(column.dtype.hasobject for column in columns):
        return

    def write(folder: Path) -> None:
        (folder / "scores.json").write_text(json.dumps(tree), encoding="utf-8")
        for split, one in scores.items():
            for number, column in enumerate(one.grades.values()):
                np.save(folder / f"{split}-{number}.npy", column, allow_pickle=False)

    cache.put("baselines", key, write, about)


def _read(place: Path) -> dict[str, Scores]:
    import numpy as np

    from graftlm.contracts.verdict import Scores

    found = {}
    for split, (primary, figures, names) in json.loads((place / "scores.json").read_text(encoding="utf-8")).items():
        grades = {
            name: np.load(place / f"{split}-{number}.npy", allow_pickle=False) for number, name in enumerate(names)
        }
        found[split] = Scores(primary, {name: Score(**figure) for name, figure in figures.items()}, grades)
    return found
