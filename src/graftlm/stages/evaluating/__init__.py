"""Evaluation: figures with intervals, paired tests, the verdict on a transfer, the user's own metrics."""

from graftlm.stages.evaluating.own import OwnMetric, own_metric
from graftlm.stages.evaluating.pairing import paired
from graftlm.stages.evaluating.scoring import score
from graftlm.stages.evaluating.tree import metrics_json
from graftlm.stages.evaluating.verdict import Contender, judge_transfer
from graftlm.stages.evaluating.wrong import confidently_wrong

__all__ = [
    "Contender",
    "OwnMetric",
    "confidently_wrong",
    "judge_transfer",
    "metrics_json",
    "own_metric",
    "paired",
    "score",
]
