"""The pipeline: wires the stages of a run. The only place that knows them all."""

from graftlm.pipeline.check import check, estimated, of_task
from graftlm.pipeline.crew import follow
from graftlm.pipeline.fit import fit
from graftlm.pipeline.several import fit_several, recipes_of
from graftlm.pipeline.work import Checked, Nobody, Run, Watcher, missed_gate

__all__ = [
    "Checked",
    "Nobody",
    "Run",
    "Watcher",
    "check",
    "estimated",
    "fit",
    "fit_several",
    "follow",
    "missed_gate",
    "of_task",
    "recipes_of",
]
