"""Writing the bundle of several tasks: the backbone as a plain checkpoint, the heads beside it, the manifest last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graftlm.bundle import card, manifest, shared, writing
from graftlm.contracts.model import Model
from graftlm.contracts.quiet import quiet
from graftlm.contracts.task import Task
from graftlm.contracts.values import Space
from graftlm.core import files


@dataclass(frozen=True, slots=True)
class Kept:
    """One task of a shared bundle: its model over the backbone of all, and what is told of it."""

    model: Model
    task: Task
    space: Space
    max_length: int
    roles: Sequence[str]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    limits: Sequence[str] = ()


def write_shared(
    folder: Path,
    tasks: Mapping[str, Kept],
    *,
    recipe: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> Path:
    """Write one bundle of several tasks, or nothing: a folder that stands at `folder` is replaced in one move.

    Raises:
        BundleError: what was written does not pass the checks that opening it makes.
    """
    from safetensors.torch import save_file

    from graftlm.nn.several import own_tensors

    first = next(iter(tasks.values())).model
    longest = max(one.max_length for one in tasks.values())
    with files.writing_folder(folder) as inside:
        with quiet():
            encoder: Any = first.module.get_submodule(first.base)
            encoder.save_pretrained(inside)
            writing._edit(
                inside / "config.json", writing.OF_THIS_MACHINE | writing.OF_A_CLASSIFIER,
                architectures=[type(encoder).__name__], pad_token_id=first.tokenizer.pad_token_id,
            )  # fmt: skip
            writes = any(one.task.writes_with == first.card.stack == "decoder" for one in tasks.values())
            writing._tokenizer(inside, first.tokenizer, longest, writes)
        (inside / shared.FOLDER).mkdir()
        told = {}
        for name, one in tasks.items():
            own = own_tensors(one.model.module, one.model.base)
            if own:
                tensors = {key: tensor.float().cpu().contiguous() for key, tensor in own.items()}
                save_file(tensors, inside / shared.head_file(name))
            told[name] = {
                **writing.asked(one.task, one.space, one.roles),
                **writing.form(one.model, one.max_length),
                "own": bool(own),
                "metrics": writing.without_paths(one.metrics),
                "data": writing.without_paths(one.data),
                "limits": list(one.limits),
            }
        facts: dict[str, Any] = {
            "format_version": manifest.FORMAT,
            "style": manifest.SHARED,
            "tasks": told,
            **writing.came_from(first, recipe, lineage),
        }
        says = {name: one.task.says for name, one in tasks.items()}
        writing.finish(inside, facts, card.shared_text(facts, says))
    return folder
