"""Trackers: figures, recipe, report and bundle go to Accelerate's trackers; none of them can stop a run.

A tracker whose server is away is told once; what it missed waits and is sent when the server is back.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graftlm.contracts.progress import Progress
from graftlm.core import files, log
from graftlm.core.errors import UserError, listing, near
from graftlm.core.optional import need

PROJECT = "graftlm"
PATIENCE = 30.0
"""Seconds after a failure until a tracker is tried again; doubled after each further one."""
WAITING = 10_000
"""Entries that wait for a tracker whose server is away; beyond it the oldest are dropped, and told at the end."""
SECONDS_TO_START = "20"
"""How long Weights & Biases may take to reach its server before the run is kept offline."""
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent but what the user asked for
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # training waits for each of these
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "WANDB_INIT_TIMEOUT": SECONDS_TO_START,
    "WANDB_LOGIN_TIMEOUT": SECONDS_TO_START,
}


class Tracking:
    """The trackers of one run, opened when training has begun; on the first of several processes only.

    `config` is the recipe as a tree. Files of the trackers lie in `folder/trackers`.

    Raises:
        UserError: a tracker is not one that Accelerate knows, or its package is not installed.
    """

    def __init__(self, names: Sequence[str], folder: Path, config: Mapping[str, Any]) -> None:
        self.kept: list[_Kept] = []
        if not names:
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        known = list(LOGGER_TYPE_TO_CLASS)
        for name in names:
            if name not in known:
                raise UserError(
                    f"train.trackers: The tracker '{name}' is not one that Accelerate knows.{near(name, known)} Known: "
                    f"{listing(known, 20)}."
                )
            need(name, name, f"The tracker '{name}'")
        for key, value in _QUIET.items():
            os.environ.setdefault(key, value)
        for name in dict.fromkeys(names):
            self.kept.append(
                _Kept(name, LOGGER_TYPE_TO_CLASS[name], folder / "trackers", folder.resolve().name, config)
            )

    def watching(self, watch: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return a function that sends what it sees to the trackers, then calls `watch`."""
        if not self.kept:
            return watch

        def both(progress: Progress) -> None:
            figures = {
                "loss": progress.loss,
                "rate": progress.rate,
                "epoch": progress.epoch,
                "examples_per_second": progress.examples_per_second,
                "tokens_per_second": progress.tokens_per_second,
                "padding_share": progress.padding_share,
                **progress.extra,
            }
            if progress.score is not None:
                figures["score"] = progress.score.value
            self._all(lambda one: one.tracker.log(figures, step=progress.step))
            watch(progress)

        return both

    def finish(self, metrics: Mapping[str, Any], report: Path, bundle: Path) -> None:
        """Send the figures of the end, and report and bundle as files."""
        figures = {
            f"{split}/{name}": score["value"]
            for split, scores in (metrics.get("metrics") or {}).items()
            for name, score in scores.items()
        }
        told = (metrics.get("transfer") or {}).get("sentence") or "There is no verdict."
        self._all(lambda one: one.summary(figures, told))
        self._all(lambda one: one.artifact("report", report))
        self._all(lambda one: one.artifact("bundle", bundle))

    def close(self) -> None:
        """End the trackers; what they could not take is told."""
        for one in self.kept:
            one.close()

    def _all(self, call: Callable[[_Kept], None]) -> None:
        if self.kept and _first_process():
            for one in self.kept:
                one.send(call)


class _Kept:
    """One tracker with what waits for it."""

    def __init__(self, name: str, made: Any, folder: Path, run: str, config: Mapping[str, Any]) -> None:
        self.name, self.made, self.folder, self.run, self.config = name, made, folder, run, config
        self.tracker: Any = None
        self.waiting: deque[Callable[[_Kept], None]] = deque(maxlen=WAITING)
        self.lost = 0
        self.next_try, self.pause, self.said = 0.0, PATIENCE, False

    def send(self, call: Callable[[_Kept], None]) -> None:
        """Do something with the tracker, now or when it can be reached again."""
        self.lost += len(self.waiting) == WAITING
        self.waiting.append(call)
        if time.monotonic() >= self.next_try:
            self.flush()

    def flush(self) -> None:
        """Do all that waits, as far as the tracker can be reached."""
        try:
            with _undisturbed():
                if self.tracker is None:
                    self.tracker = self._open()
                while self.waiting:
                    self.waiting[0](self)
                    self.waiting.popleft()
        except Exception as fault:  # whatever a tracker's package or its server does must not stop a run
            self.next_try, self.pause = time.monotonic() + self.pause, 2 * self.pause
            if not self.said:
                self.said = True
                log.warn(
                    f"The tracker '{self.name}' cannot be reached ({_short(fault)}). Training goes on; what it misses "
                    "waits and is sent when it answers again."
                )

    def close(self) -> None:
        """Send what waits a last time, and end the tracker's run."""
        if self.tracker is None and not self.waiting:
            return
        if self.waiting:
            self.flush()
        missed = self.lost + len(self.waiting)
        if missed:
            log.warn(f"The tracker '{self.name}' missed {missed:,} entries of this run; they stand in log.jsonl.")
        if self.tracker is not None:
            try:
                self.tracker.finish()
            except Exception as fault:
                log.warn(f"The tracker '{self.name}' did not end well ({_short(fault)}).")

    def summary(self, figures: Mapping[str, float], told: str) -> None:
        """Send the figures of the finished run and its verdict."""
        run = self.tracker.tracker
        if hasattr(run, "summary"):
            run.summary.update({**figures, "verdict": told})
            return
        self.tracker.log(dict(figures), step=0)
        if hasattr(run, "add_text"):
            run.add_text("verdict", told)
        elif hasattr(run, "info"):
            import mlflow

            mlflow.set_tag("verdict", told)

    def artifact(self, name: str, path: Path) -> None:
        """Send a file or a folder, where the tracker keeps such; else the place where it lies."""
        run = self.tracker.tracker
        if hasattr(run, "log_artifact"):
            import wandb

            one = wandb.Artifact(f"{self.run}-{name}", type="model" if path.is_dir() else name)
            # they stay where they are: no second copy on this disk
            (one.add_dir if path.is_dir() else one.add_file)(str(path), policy="immutable")
            run.log_artifact(one)
        elif hasattr(self.tracker, "log_artifacts"):
            if path.is_dir():
                self.tracker.log_artifacts(str(path), name)
            else:
                self.tracker.log_artifact(str(path))
        elif hasattr(run, "add_text"):
            run.add_text(name, f"`{path.resolve()}`")
            run.flush()

    def _open(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        tracker = getattr(self, f"_open_{self.name}", self._open_other)()
        return tracker

    def _open_tensorboard(self) -> Any:
        tracker = self.made(self.name, self.folder)
        tracker.start()
        tracker.store_init_configuration(_flat(self.config))
        return tracker

    def _open_wandb(self) -> Any:
        import wandb

        known = self._known()
        options: dict[str, Any] = {
            "name": self.run,
            "dir": str(self.folder),
            "id": known,
            "resume": "allow" if known else None,
            "settings": wandb.Settings(silent=True, console="off"),
        }
        tracker = self.made(PROJECT, **options)
        try:
            tracker.start()
        except (wandb.errors.Error, OSError) as fault:
            log.warn(
                f"The tracker 'wandb' cannot be reached ({_short(fault)}). Training goes on; the run is kept offline "
                f"in {self.folder / 'wandb'}, and `wandb sync` sends it later."
            )
            self.said = True
            tracker = self.made(PROJECT, mode="offline", **options)
            tracker.start()
        self._know(tracker.tracker.id)
        tracker.store_init_configuration(dict(self.config))
        return tracker

    def _open_mlflow(self) -> Any:
        import mlflow

        given = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(given or (self.folder / "mlflow").resolve().as_uri())
        if not given:  # MLflow writes it into the environment, where the next run would take it for the user's wish
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        known = self._known()
        tracker = self.made(PROJECT, run_id=known, run_name=self.run)
        tracker.start()
        self._know(tracker.tracker.info.run_id)
        if not known:  # parameters of a run cannot change
            tracker.store_init_configuration(_flat(self.config))
        return tracker

    def _open_other(self) -> Any:
        tracker = self.made(PROJECT, self.folder) if self.made.requires_logging_directory else self.made(PROJECT)
        tracker.start()
        tracker.store_init_configuration(_flat(self.config))
        return tracker

    def _known(self) -> str | None:
        """Return the tracker's name of this run, where it was begun by an earlier process."""
        try:
            found = json.loads((self.folder / "runs.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found.get(self.name) if isinstance(found, dict) else None

    def _know(self, name: str) -> None:
        path = self.folder / "runs.json"
        held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        files.write_json(path, {**held, self.name: str(name)})


def _first_process() -> bool:
    from accelerate.state import PartialState

    return bool(PartialState().is_main_process)


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of a tree by path, as the types that every tracker takes."""
    from graftlm.recipe import flat

    return {
        path: value if isinstance(value, str | int | float | bool) else json.dumps(value, ensure_ascii=False)
        for path, value in flat(tree).items()
    }


def _short(fault: BaseException) -> str:
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {text[:160]}{'…' if len(text) > 160 else ''}"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the global generators as they are: a tracker's own draws must not change what a run computes."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
