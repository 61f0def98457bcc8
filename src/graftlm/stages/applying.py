"""Applying a bundle: rows of the task's own terms become what the model was trained to read, then answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftlm.bundle import Bundle, load, open_bundle, together
from graftlm.contracts.values import Answer, Example
from graftlm.core.errors import DataError, UserError
from graftlm.prediction import Predictor

if TYPE_CHECKING:
    import numpy as np


def predictor_of(
    bundle: Bundle, *, precision: Any = "auto", batch_tokens: int | None = None, device: str = "auto"
) -> Predictor:
    """Load the model of a bundle and return what answers with it.

    Raises:
        BundleError: the model cannot be rebuilt.
    """
    model = load(bundle, precision=precision, device=device)
    return Predictor(
        model,
        bundle.task(),
        bundle.space(),
        limit=bundle.max_length,
        precision=precision,
        batch_tokens=batch_tokens,
    )


def predictors_of(
    runs: Mapping[str, Path | str], *, precision: Any = "auto", batch_tokens: int | None = None, device: str = "auto"
) -> dict[str, Predictor]:
    """Load bundles of adapters on one base and return what answers with each, by name, over one copy of the base.

    Raises:
        BundleError: a bundle is damaged, or its base is not there.
        UserError: one is no adapter, or stands on another base.
    """
    return {
        name: Predictor(
            model, bundle.task(), bundle.space(), limit=bundle.max_length, precision=precision,
            batch_tokens=batch_tokens,
        )
        for name, (bundle, model) in together(runs, precision=precision, device=device).items()
    }  # fmt: skip


def embedder(*, precision: Any = "auto", device: str = "auto") -> Callable[[str, Sequence[str]], np.ndarray]:
    """Return a function of a run and texts that gives their vectors (N, H) under the run's bundle.

    It raises a UserError where the answers of the bundle are no vectors of texts.
    """
    known: dict[str, Predictor] = {}

    def embed(run: str, texts: Sequence[str]) -> np.ndarray:
        if run not in known:
            bundle = open_bundle(run)
            if not bundle.embeds:
                raise UserError(
                    f"{run}: expected the bundle of a bi-encoder, whose answers are vectors of texts (of the "
                    f"task similarity, say); got one of the task '{bundle.name}'."
                )
            known[run] = predictor_of(bundle, precision=precision, device=device)
        return known[run].embed(texts)

    return embed


def as_trained(bundle: Bundle, examples: Sequence[Example]) -> list[Example]:
    """Return the examples with exactly the text roles that the model was trained to read.

    A further text column, which the reader may have taken for a second text, is left out. Where each text is read
    alone, those that the task does not require may be absent.

    Raises:
        DataError: a role that the model needs has no column.
    """
    wanted, task = bundle.roles, bundle.task()
    texts = {role.name for role in task.roles if role.kind == "text"}
    needed = [role.name for role in task.roles if role.name in wanted and (role.required or not task.embeds)]
    out = []
    for example in examples:
        missing = [role for role in needed if role not in example.fields]
        if missing:
            raise DataError(
                f"{example.where or example.id}: expected columns for {' and '.join(wanted)}, which the model was "
                f"trained to read; got none for {' and '.join(missing)}. Name it with --column {missing[0]}=COLUMN."
            )
        kept = {role: value for role, value in example.fields.items() if role in wanted or role not in texts}
        out.append(example if len(kept) == len(example.fields) else replace(example, fields=kept))
    return out


def predict_rows(
    bundle: Bundle,
    chunks: Iterable[Sequence[Example]],
    *,
    precision: Any = "auto",
    batch_tokens: int | None = None,
    device: str = "auto",
) -> Iterator[tuple[Example, Answer]]:
    """Yield each example with its answer, in order, holding one chunk in memory.

    The first chunk is taken before the model is loaded, so that faults of the source come first.

    Raises:
        DataError: as the source of the chunks does, or a role that the model needs has no column.
    """
    waiting = iter(chunks)
    first = next(waiting, None)
    if first is None:
        return
    head = as_trained(bundle, first)
    predictor = predictor_of(bundle, precision=precision, batch_tokens=batch_tokens, device=device)

    def trained() -> Iterator[list[Example]]:
        yield head
        for chunk in waiting:
            yield as_trained(bundle, chunk)

    yield from predictor.stream(trained())
