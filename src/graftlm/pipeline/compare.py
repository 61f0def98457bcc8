"""The baselines of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from graftlm.contracts.rows import Rows
from graftlm.contracts.values import Answer, Space
from graftlm.core import registry
from graftlm.pipeline.work import Work

if TYPE_CHECKING:
    import numpy as np

    from graftlm.stages.evaluating import Contender, OwnMetric
    from graftlm.stages.training.features import Features


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
    return found
