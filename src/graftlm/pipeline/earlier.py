"""Opening the earlier runs that methods and losses name: their models, their rows, and what they left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from graftlm.contracts.dataset import Dataset
from graftlm.contracts.ground import Earlier, Ground
from graftlm.contracts.values import Example
from graftlm.core import files, hashing, log, seeds
from graftlm.core.errors import UserError
from graftlm.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

SECTIONS = ("backbone", "methods", "losses", "augmentations", "remember")
"""Parts of a recipe that may name files and runs beside the rows."""
LEFT = "left.safetensors"
"""File of a run folder with the tensors that its methods left for later runs."""


def open_earlier(run: str) -> Earlier:
    """Open a run folder: the bundle at once, its training rows and what it left when they are asked for.

    Raises:
        BundleError: the bundle is damaged, or there is none.
        UserError: the folder is no run, or its rows are not to be found any more.
    """
    from graftlm import bundle, recipe
    from graftlm.stages.applying import as_trained

    opened, path = bundle.open_bundle(run), Path(run) / "recipe.yaml"
    if not path.is_file():
        raise UserError(
            f"Expected the folder of a run, with the recipe that names its rows; '{run}' holds no recipe.yaml."
        )
    old = recipe.build(recipe.read(path))
    rows = rows_of(run, old).splits["train"]

    def examples(count: int, seed: int) -> list[Example]:
        order = seeds.generator(seed, "earlier").permutation(len(rows))[:count]
        return as_trained(opened, rows.take(sorted(order.tolist())).examples())

    # fp32 on the processor: training moves it where it belongs
    model = bundle.load(opened, precision="fp32", device="cpu")
    return Earlier(
        model, opened.task(), opened.space(), opened.max_length, len(rows), examples, lambda: left(Path(run))
    )


def rows_of(run: Path | str, old: Recipe) -> Dataset:
    """Read the rows of an earlier run again, where its recipe says they are.

    Raises:
        UserError: they are not there any more, or cannot be read.
    """
    from graftlm.stages import reading

    try:
        return reading.read(old.data, old.task, None, seed=old.train.seed)
    except UserError as fault:
        raise UserError(
            f"The rows of the earlier run '{run}' cannot be read any more. {fault} Its recipe names them as they lay "
            "when it was trained: put them back, or start from the folder that it was started from."
        ) from None


def look_ahead(recipe: Recipe, ground: Ground) -> None:
    """Open what methods and losses name beside the rows, before anything is fitted that takes time.

    Raises:
        BundleError: a bundle is damaged, or there is none.
        UserError: a run cannot be used, or the weights are not those that it ended with; a text cannot be read.
    """
    from graftlm.contracts import fisher

    for part in (*recipe.methods, *recipe.losses):
        start = getattr(part, "run", None)
        for run in (*([start] if start else []), *getattr(part, "runs", ())):
            earlier = open_earlier(run)
            log.note(f"earlier run: '{run}', {earlier.rows:,} training rows")
            if run == start:
                fisher.check_same_start(ground, earlier, run)
        if (text := getattr(part, "text", None)) is not None:
            fisher.general_text(text, 1, ground.seed)


def contents(recipe: Recipe) -> dict[str, str]:
    """Return a fingerprint of what a recipe names beside its rows, by the key that names it.

    These are earlier runs (of their bundle), bundles to start from, files of text, dictionaries and vectors.
    """
    from graftlm.bundle.manifest import NAME

    found = {}
    for key, value in _texts(recipe):
        for number, one in enumerate([value] if isinstance(value, str) else value):
            path = Path(str(one)).expanduser()
            files_of = [each for each in (path, path / NAME, path / "bundle" / NAME, path / LEFT) if _is_file(each)]
            if files_of:
                place = key if isinstance(value, str) else f"{key}.{number}"
                found[place] = hashing.of_value([_content(each) for each in files_of])
    return found


def _texts(recipe: Recipe) -> Iterator[tuple[str, str | Sequence[str]]]:
    """Yield the fields of a recipe that may name anything, with what they say; those with a choice of words do not."""
    for section in SECTIONS:
        part = getattr(recipe, section)
        several = isinstance(part, list | tuple)
        for number, one in enumerate(part if several else [part]):
            for name, field in type(one).model_fields.items():
                value = getattr(one, name)
                if isinstance(value, str | list | tuple) and _free(field.annotation, value):
                    yield f"{section}.{number}.{name}" if several else f"{section}.{name}", value


def _free(annotation: Any, value: str | Sequence[str]) -> bool:
    """Tell whether a type allows any text in the place of a value, not some words alone."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if isinstance(value, str):
        return str in options
    return any(get_origin(option) in (list, tuple) and str in get_args(option) for option in options)


def _content(path: Path) -> Any:
    """Return what stands for a file: of a manifest what it tells of each file of its bundle, not when it was made."""
    from graftlm.bundle.manifest import NAME

    if path.name == NAME:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return [told["files"], told["tasks"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # a damaged one has its own message where it is opened
    return hashing.of_file(path)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return False


def leave(run: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write what the methods of a run leave for later ones, where they leave anything."""
    if tensors:
        from safetensors.torch import save_file

        with files.writing(run / LEFT) as place:
            save_file(dict(tensors), place)


def left(run: Path) -> Mapping[str, Tensor]:
    """Return the tensors that the methods of a run left, by `method/name`; none where it left nothing."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = run / LEFT
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as fault:
        raise UserError(f"'{path}' cannot be read: {fault}. Train that run again.") from None
