"""`graft export` as a function: one task of a shared bundle becomes a plain checkpoint of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graftlm.bundle import open_bundle
from graftlm.core.errors import BundleError, UserError

if TYPE_CHECKING:
    from torch import nn


def export(run: Path | str, out: Path | str, *, task: str | None = None) -> Path:
    """Write the plain bundle of one task of a run of several, and return its folder.

    It opens with Transformers or Sentence Transformers alone, and its tensors are those of the shared bundle: it is
    read again and compared, bit for bit, before it counts.

    Raises:
        BundleError: the bundle is damaged, incomplete or not safe to open, or what was written differs from it.
        UserError: the bundle is plain already, the task is not in it, or the folder is not empty.
    """
    bundle, folder = open_bundle(run, task), Path(out)
    if not bundle.shared:
        raise UserError(
            f"{run}: expected a run of several tasks, whose bundle has one backbone under several heads; got one of "
            f"the task '{bundle.name}' alone, which is plain already: copy '{bundle.folder}'."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out: expected a new or empty folder; '{folder}' is not empty. Name another.")
    from graftlm.bundle import load, write

    model = load(bundle, precision="fp32", device="cpu")
    value, entry = bundle.manifest, bundle.manifest["tasks"][bundle.name]
    folder.parent.mkdir(parents=True, exist_ok=True)
    write(
        folder, model, bundle.task(), bundle.space(), max_length=bundle.max_length, roles=bundle.roles,
        recipe=value["recipe"], lineage={**value["lineage"], "task": bundle.name, "bundle": bundle.fingerprint},
        metrics=entry["metrics"], data=entry["data"], limits=entry["limits"],
    )  # fmt: skip
    again = load(open_bundle(folder), precision="fp32", device="cpu")
    if odd := _differing(model.module, again.module):
        raise BundleError(f"{folder}: expected the tensors of {bundle.folder}; got another '{odd}'. Do not use it.")
    return folder


def _differing(one: nn.Module, other: nn.Module) -> str | None:
    """Return the name of a tensor that is not the same in both, None where all are."""
    import torch

    first, second = one.state_dict(), other.state_dict()
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second or not torch.equal(first[name], second[name]):
            return name
    return None
