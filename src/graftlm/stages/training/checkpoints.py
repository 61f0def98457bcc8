"""Checkpoints on disk: atomic, complete or not there, rotated; the newest and the best stay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftlm.core import files, hashing, log
from graftlm.core.errors import BundleError, UserError

TENSORS, FACTS, MANIFEST = "tensors.safetensors", "facts.json", "manifest.json"


class Checkpoints:
    """The checkpoints of one run, each a folder `step-00001234`; a manifest is written last."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, step: int, snapshot: Mapping[str, Any], *, fingerprint: str, best: bool) -> None:
        """Write a checkpoint and remove those that are neither best nor among the newest.

        Raises:
            UserError: it cannot be written (disk full, folder read-only, input/output error); the others stay.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        path = self.folder / f"step-{step:08d}"
        facts = {**snapshot["facts"], "fingerprint": fingerprint, "best_step": step if best else self.best_step()}
        try:
            with files.writing_folder(path) as inside:
                save_file({name: t.contiguous() for name, t in snapshot["tensors"].items()}, inside / TENSORS)
                (inside / FACTS).write_text(json.dumps(facts), encoding="utf-8")
                entries = {
                    name: {"size": (inside / name).stat().st_size, "sha256": hashing.of_file(inside / name)}
                    for name in (TENSORS, FACTS)
                }
                (inside / MANIFEST).write_text(json.dumps(entries), encoding="utf-8")
        except (OSError, SafetensorError) as fault:
            raise UserError(
                f"The checkpoint at step {step} cannot be written to '{self.folder}': {fault}. The checkpoints before "
                "it are as they were: make room or make the folder writable, and go on with --resume."
            ) from fault
        self._rotate(facts["best_step"])

    def steps(self) -> list[int]:
        """Return the steps of the complete checkpoints, ascending."""
        found = []
        for path in self.folder.glob("step-*"):
            if (path / MANIFEST).is_file() and path.name[5:].isdigit():
                found.append(int(path.name[5:]))
        return sorted(found)

    def newest(self) -> int | None:
        """Return the newest complete checkpoint that passes its manifest.

        Damaged ones are named and set aside under another name: a run that goes on before them must not
        take them for its newest.
        """
        for step in reversed(self.steps()):
            try:
                self.verify(step)
            except BundleError as fault:
                aside = self.folder / f"damaged-{step:08d}"
                shutil.rmtree(aside, ignore_errors=True)
                self._path(step).rename(aside)
                log.warn(f"{fault} It is passed over, and kept as '{aside}'.")
        steps = self.steps()
        return steps[-1] if steps else None

    def best_step(self) -> int | None:
        """Return the step of the best checkpoint, None where nothing was scored yet."""
        steps = self.steps()
        if not steps:
            return None
        found = json.loads((self._path(steps[-1]) / FACTS).read_text(encoding="utf-8"))["best_step"]
        return found if found in steps else None

    def load(self, step: int) -> dict[str, Any]:
        """Return `{"tensors": ..., "facts": ...}` of a checkpoint, verified."""
        from safetensors.torch import load_file

        self.verify(step)
        path = self._path(step)
        return {
            "tensors": load_file(path / TENSORS),
            "facts": json.loads((path / FACTS).read_text(encoding="utf-8")),
        }

    def verify(self, step: int) -> None:
        """Hold a checkpoint against its manifest.

        Raises:
            BundleError: a file is missing or differs; the message names it.
        """
        path = self._path(step)
        try:
            entries = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            expected = [(name, int(entries[name]["size"]), str(entries[name]["sha256"])) for name in (TENSORS, FACTS)]
        except (OSError, ValueError, KeyError, TypeError):
            raise BundleError(f"The checkpoint's '{path / MANIFEST}' is damaged or missing.") from None
        for name, size, digest in expected:
            file = path / name
            if not file.is_file() or file.stat().st_size != size or hashing.of_file(file) != digest:
                raise BundleError(f"The checkpoint's file '{file}' is damaged: it differs from the manifest.")

    def clear(self) -> None:
        """Remove all checkpoints, once a bundle stands in their place."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _rotate(self, best: int | None) -> None:
        steps = self.steps()
        for step in steps[: -self.keep]:
            if step != best:
                try:
                    shutil.rmtree(self._path(step))
                except OSError as fault:
                    log.warn(f"The old checkpoint '{self._path(step)}' cannot be removed ({fault}); it is left.")
        for leftover in self.folder.glob(".step-*"):
            shutil.rmtree(leftover, ignore_errors=True)
