"""The run folder: made once, never mixed with another run."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from graftlm.core import files, log
from graftlm.core.errors import UserError, listing
from graftlm.recipe import HOW, Recipe

RECIPE, FINGERPRINT, METRICS, DATA = "recipe.yaml", ".fingerprint", "metrics.json", "data.json"
LOCK = ".lock"
_BEGUN = {RECIPE, FINGERPRINT, DATA, LOCK}
"""What a run writes before it trains: one that was refused then leaves nothing else, and is in nobody's way."""


def examine(recipe: Recipe, *, resume: bool) -> Path:
    """Return the run's folder, which may be used: nothing is made yet.

    Raises:
        UserError: the folder holds something already and `resume` is not set, it is another recipe's, or
            the run in it is finished.
    """
    if resume and not recipe.out:
        raise UserError("--resume needs the folder of the run to go on with: name it with --out.")
    folder = Path(recipe.out) if recipe.out else _fresh(recipe)
    mark = recipe.fingerprint()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"The output '{folder}' is a file; expected a folder that is empty or not there yet.")
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        known = folder / FINGERPRINT
        if not known.is_file():
            held = listing(sorted(p.name for p in folder.iterdir() if p.name != LOCK), 6)
            raise UserError(
                f"The output folder '{folder}' is not empty (it holds {held}) and is not a run of this project. Name "
                "another one with --out."
            )
        if not resume and {path.name for path in folder.iterdir()} <= _BEGUN:
            return folder
        if not resume:
            raise UserError(
                f"The output folder '{folder}' already holds a run. Name another one with --out, go on with --resume, "
                "or remove it."
            )
        if known.read_text(encoding="utf-8").strip() != mark:
            changed = listing(_changes(folder / RECIPE, recipe), 8)
            raise UserError(
                f"'{folder}' cannot be resumed with another recipe; changed: {changed}. Take the change back, or start "
                "a new run with --out."
            )
        if (folder / METRICS).is_file():
            page = folder / "report.html"
            raise UserError(f"The run in '{folder}' is finished; there is nothing to resume. See {page}.")
    return folder


def prepare(recipe: Recipe, folder: Path, *, resume: bool = False) -> None:
    """Make the run's folder and write the filled-in recipe into it, once the folder is held.

    Raises:
        UserError: the folder cannot be written, or another run has come and gone in it since it was examined.
    """
    if folder.is_dir():
        examine(recipe.model_copy(update={"out": str(folder)}), resume=resume)
    mark = recipe.fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / RECIPE, recipe.as_yaml())
        files.write_text(folder / FINGERPRINT, mark + "\n")
    except OSError as fault:
        raise UserError(f"The output folder '{folder}' cannot be written: {fault.strerror or fault}.") from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process; the system lets go when the process ends, however it ends.

    Where the system has no such locks (Windows, some network disks), nothing is held.

    Raises:
        UserError: another process is at work in the folder, or the folder cannot be made or written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / LOCK).open("a", encoding="utf-8")
    except OSError as fault:
        raise UserError(f"The output folder '{folder}' cannot be written: {fault.strerror or fault}.") from None
    with opened as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another run is at work in '{folder}'. Wait for it or stop it, or name another folder with --out."
            ) from None
        except OSError as fault:
            log.note(f"'{folder}' cannot be locked ({fault.strerror or fault}): start no second run in it")
        yield


def same_data(folder: Path, fingerprints: Mapping[str, str]) -> None:
    """Refuse to go on with other data than those that the run began with.

    Raises:
        UserError: a split has another fingerprint than data.json tells.
    """
    known = folder / DATA
    if not known.is_file():
        return
    before = json.loads(known.read_text(encoding="utf-8")).get("fingerprints", {})
    changed = sorted(name for name in {*before, *fingerprints} if before.get(name) != fingerprints.get(name))
    if changed:
        raise UserError(
            f"'{folder}' cannot be resumed: the rows of {listing(changed)} are not those that it began with. Put the "
            "data back as they were, or start a new run with --out."
        )


def same_named(folder: Path, marks: Mapping[str, str]) -> None:
    """Refuse to go on where an earlier run or a file that the recipe names is not what it was when the run began.

    Raises:
        UserError: one has another fingerprint than data.json tells, or is gone.
    """
    keys = changed(folder, marks)
    if keys:
        raise UserError(
            f"'{folder}' cannot be resumed: what {listing(keys)} names in its recipe is not what it was when it began. "
            "Put it back, or start a new run with --out."
        )


def changed(folder: Path, marks: Mapping[str, str]) -> list[str]:
    """Return the keys of the recipe that name what is not as it was when the run in a folder began."""
    known = folder / DATA
    before = json.loads(known.read_text(encoding="utf-8")).get("named") if known.is_file() else None
    if before is None:  # nothing is written yet, or by a version that did not look
        return []
    return sorted(key for key in {*before, *marks} if before.get(key) != marks.get(key))


def _fresh(recipe: Recipe) -> Path:
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{recipe.task.name()}-{recipe.methods[0].name() if recipe.methods else 'none'}-{stamp}"
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def _changes(path: Path, recipe: Recipe) -> list[str]:
    """Return the keys whose values differ from the recipe in a file."""
    import yaml

    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return ["recipe.yaml cannot be read"]

    def flat(tree: object, path: str) -> dict[str, str]:
        if isinstance(tree, dict):
            return {k: v for key, item in tree.items() for k, v in flat(item, f"{path}.{key}".lstrip(".")).items()}
        return {path: json.dumps(tree, sort_keys=True, default=str)}

    old, new = flat(before, ""), flat(recipe.as_json(), "")
    free = ("out", *(f"train.{key}" for key in HOW))
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key) and key not in free)
