"""What the steps of a run hand on, and who watches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from graftlm.contracts.dataset import Dataset
from graftlm.contracts.progress import Progress
from graftlm.contracts.values import Finding
from graftlm.recipe import Recipe

if TYPE_CHECKING:
    from graftlm.contracts.backbone import Base
    from graftlm.contracts.task import Task
    from graftlm.contracts.verdict import Verdict
    from graftlm.stages.training.estimating import Estimate


class Watcher(Protocol):
    """Whoever wants to see how a run goes."""

    def stage(self, name: str) -> None:
        """Hear that a stage begins."""

    def progress(self, progress: Progress) -> None:
        """See the state of training."""


class Nobody:
    """Watches nothing."""

    def stage(self, name: str) -> None:
        """Hear that a stage begins."""

    def progress(self, progress: Progress) -> None:
        """See the state of training."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, the tree of metrics.json, the verdict and what the check found."""

    folder: Path
    metrics: Mapping[str, Any]
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    recipe: Recipe

    @property
    def bundle(self) -> Path:
        """Return the folder of the bundle."""
        return self.folder / "bundle"


def missed_gate(recipe: Recipe, metrics: Mapping[str, Any], folder: Path) -> str | None:
    """Return which gate of its recipe a finished run has missed, by the tree of its metrics.json; None: it met all."""
    told = metrics.get("remember")
    if told and not told["kept"]:
        return f"remember.forget_at_most: {told['sentence']} The run lies in '{folder}'."
    if not recipe.evaluate.require_gain:
        return None
    if "tasks" in metrics:
        tasks = metrics["tasks"].items()
        behind = [name for name, one in tasks if (one.get("transfer") or {}).get("verdict") != "helped"]
        if behind:
            return f"evaluate.require_gain: the transfer did not help {', '.join(behind)}. The run lies in '{folder}'."
        return None
    transfer = metrics.get("transfer") or {}
    if transfer.get("verdict") == "helped":
        return None
    said = transfer.get("sentence") or "there is no baseline to compare with."
    return f"evaluate.require_gain: {said} The run lies in '{folder}'."


@dataclass
class Work:
    """What the stages of one run hand on."""

    recipe: Recipe
    folder: Path
    watch: Watcher
    resume: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = 0.0
    current: str = ""

    def stage(self, name: str) -> None:
        now = time.monotonic()
        if self.current:
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now - self.began
        self.current, self.began = name, now
        if name:
            self.watch.stage(name)


@dataclass(frozen=True, slots=True)
class Checked:
    """Data that were read and checked, before any weights are loaded."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    counts: Mapping[str, Any]
    limit: int | None
    base: Base | None = None
    task: Task | None = None
    """The task as the training rows settled it; None: no base model was opened."""
    memory: Estimate | None = None
    """The memory that a fit needs at most, where it was asked for."""

    def as_json(self) -> dict[str, Any]:
        """Return what data.json keeps."""
        return {
            **self.dataset.facts,
            "counts": {name: dict(found) for name, found in self.counts.items()},
            "fingerprints": self.dataset.fingerprints(),
            "findings": [finding.as_json() for finding in self.findings],
        }
