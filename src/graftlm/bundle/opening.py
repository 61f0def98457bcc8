"""Opening a bundle: everything is verified with nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graftlm.bundle import manifest, safety, shared
from graftlm.bundle.strict import refuse
from graftlm.contracts.values import Space
from graftlm.core import registry
from graftlm.core.errors import BundleError

if TYPE_CHECKING:
    from graftlm.contracts.task import Task


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle: its folder and its manifest; weights are not read yet."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the name of the task."""
        return str(next(iter(self.manifest["tasks"])))

    @property
    def style(self) -> str:
        """Return "native" or "pooled"."""
        return str(self.manifest["style"])

    @property
    def shared(self) -> bool:
        """Tell whether the backbone is that of several tasks, whose heads lie beside it."""
        return bool(self.manifest.get("shared"))

    @property
    def embeds(self) -> bool:
        """Tell whether the answers are the vectors of texts themselves: a pooled model without a head."""
        return manifest.embeds(self.manifest)

    @property
    def pooling(self) -> str | None:
        """Return how token states become one vector, None for native."""
        return self.manifest.get("pooling")

    @property
    def max_length(self) -> int:
        """Return the longest input in tokens."""
        return int(self.manifest["max_length"])

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the text roles that the model was trained to read."""
        return tuple(self.manifest["tasks"][self.name]["roles"])

    @property
    def fingerprint(self) -> str:
        """Return the manifest's seal, which stands for every byte that the model depends on."""
        return str(self.manifest["seal"])

    def task(self) -> Task:
        """Return the task with its options.

        Raises:
            BundleError: this installation does not have it, or not with these options.
        """
        entry = self.manifest["tasks"][self.name]
        try:
            return cast("Task", registry.make("task", {**entry["fields"], "use": entry["use"]}))
        except ValueError as fault:
            raise BundleError(
                f"{self.folder / manifest.NAME}: expected a task that is installed here; got {entry['use']!r}. "
                f"{' '.join(str(fault).split())[:400]}"
            ) from None

    def space(self) -> Space:
        """Return what the answers can be, labels in the order of the logits."""
        return Space.from_json(self.manifest["tasks"][self.name]["space"])


def find(run: Path | str) -> Path:
    """Return the folder of the bundle that a run folder holds, or the folder itself if it is a bundle.

    Raises:
        BundleError: there is no such folder, or no bundle in it.
    """
    folder = Path(run)
    if not folder.is_dir():
        came = "a file" if folder.exists() else "nothing of that name"
        refuse(folder, "the folder of a run or a bundle", came, "`graft fit DATA --out FOLDER` makes one.")
    for place in (folder, folder / "bundle", *shared.above(folder)):
        if (place / manifest.NAME).is_file():
            return place
    has_bundle = (folder / "bundle").is_dir()
    reason = "the bundle was not written to its end" if has_bundle else "it is neither a finished run nor a bundle"
    advice = "Finish the run with --resume." if (folder / "recipe.yaml").exists() else "Name the folder given to --out."
    raise BundleError(f"{folder}: expected {manifest.NAME} in it or in {folder / 'bundle'}; {reason}. {advice}")


def open_bundle(run: Path | str, task: str | None = None) -> Bundle:
    """Open the bundle of a run folder, or a bundle, after verifying all of it; imports neither torch nor transformers.

    `task` chooses among the tasks of a shared bundle; the folder `tasks/NAME` of a run names its own.

    Raises:
        BundleError: it is damaged, incomplete, too new, or holds what could run code; the message names the file.
        UserError: it holds several tasks and none is named, or another than the one named.
    """
    folder = find(run)
    if task is None and folder in shared.above(Path(run)):
        task = Path(run).absolute().name
    try:
        value = verified(folder)
    except OSError as fault:
        refuse(fault.filename or folder, "a file that can be read", str(fault.strerror or fault))
    return Bundle(folder, shared.chosen(run, value, task))


def verified(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder after all checks."""
    present = safety.files_of(folder)
    path = folder / manifest.NAME
    if manifest.NAME not in present:
        refuse(path, "the manifest, which is written last", "none: the bundle is incomplete")
    value = manifest.read(path)
    entries = value["files"]
    several, adapter = value["style"] == manifest.SHARED, value.get("adapter")
    parts = shared.heads_of(value) if several else safety.parts_of(value["style"], manifest.embeds(value), adapter)
    safety.check_names(folder, value["style"], parts, safety.root_of(adapter), entries, present)
    safety.check_content(folder, entries)
    if several:
        safety.check_parts(folder, value["style"], None, "", [], entries)
        shared.check_heads(folder, value)
        return value
    task = next(iter(value["tasks"].values()))
    if manifest.embeds(value) and task["space"]["labels"]:
        refuse(path, "no labels where the answers are vectors of texts", repr(task["space"]["labels"])[:80])
    third = "Normalize" if manifest.embeds(value) else "Dense"
    safety.check_parts(folder, value["style"], value.get("pooling"), third, task["space"]["labels"], entries, adapter)
    return value
