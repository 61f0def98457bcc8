"""Weights of the losses chosen by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from graftlm.contracts.balancer import Attempt, Balancer, Plan, Weights
from graftlm.core import log

if TYPE_CHECKING:
    from torch import nn


class CrossValidated(Balancer):
    """w in L = sum of w_k L_k, the best of several trials by the mean score of k folds of the training rows.

    Weights add up to the number of tasks. The first trial is equal weights, the others are drawn where earlier ones
    did well (a tree of Parzen estimators); of each rung of steps only the better share goes on (successive halving).
    A score is the mean over tasks of each one's own metric. The run itself then trains with the weights found.
    """

    source: ClassVar[str] = "Akiba et al. 2019, arXiv:1907.10902; Li et al. 2018, arXiv:1810.05934 (successive halving)"
    when: ClassVar[str] = "The weights matter and time allows some trial runs; `fixed` with equal weights to compare."
    folds: int = Field(3, ge=2, le=20)
    """Parts that the training rows are cut into; each is judged by a model trained on the others."""
    trials: int = Field(12, ge=2, le=1000)
    """Weights that are tried."""
    steps: int = Field(200, ge=4, le=1_000_000)
    """Most steps of one trial on one fold."""
    spread: float = Field(8.0, gt=1, le=1000)
    """Weights ahead of scaling lie between 1/spread and spread."""

    found: dict[str, float] = Field(default_factory=dict)
    """Weights that a search has found; where there are some, none is made."""

    def weights(self, names: Sequence[str], plan: Plan, state: nn.Module | None) -> Weights:
        """Return the weights that were found."""
        return {name: self.found.get(name, 1.0) for name in names}

    def search(self, names: Sequence[str], attempt: Attempt, seed: int) -> Balancer:
        """Try weights; return the balancer with the best ones."""
        if self.found:
            return self
        from graftlm.core.optional import need

        optuna: Any = need("optuna", "multitask", "The balancer 'cross_validated'")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        )
        study.enqueue_trial(dict.fromkeys(names[1:], 0.0))
        rungs = self._rungs()

        def objective(trial: Any) -> float:
            logs = [0.0] + [trial.suggest_float(n, -math.log(self.spread), math.log(self.spread)) for n in names[1:]]
            weights = scaled(dict(zip(names, map(math.exp, logs), strict=True)))
            trial.set_user_attr("weights", weights)
            running = [attempt(weights, fold, self.folds, rungs) for fold in range(self.folds)]
            mean = -math.inf
            for rung, scores in enumerate(zip(*running, strict=True), 1):
                mean = sum(scores) / len(scores)
                trial.report(mean, rung)
                if rung < len(rungs) and trial.should_prune():
                    raise optuna.TrialPruned
            return mean

        study.optimize(objective, n_trials=self.trials, catch=())
        best = study.best_trial
        weights = best.user_attrs["weights"]
        stopped = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
        log.note(
            "weights chosen by cross-validation: "
            + ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items())
            + f" (mean score {best.value:.4f}, equal weights {study.trials[0].values and study.trials[0].value:.4f}; "
            f"{self.trials} trials of {self.folds} folds, {stopped} stopped early)"
        )
        return self.model_copy(update={"found": weights})

    def _rungs(self) -> list[int]:
        """Return the steps after which trials are compared: a quarter, a half, all."""
        return sorted({max(1, self.steps // 4), max(1, self.steps // 2), self.steps})


def scaled(weights: dict[str, float]) -> dict[str, float]:
    """Return weights that add up to their number."""
    total = sum(weights.values())
    return {name: len(weights) * weight / total for name, weight in weights.items()}
