"""Reading and checking the data of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from graftlm.contracts.augmentation import Scene
from graftlm.contracts.dataset import Dataset
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Preparing, Task
from graftlm.core.errors import DataError, RecipeError
from graftlm.pipeline.work import Checked
from graftlm.recipe import Recipe, TrainSection

if TYPE_CHECKING:
    from graftlm.contracts.backbone import Base


def prepared(dataset: Dataset, task: Task, section: TrainSection) -> Dataset:
    """Return a data set as the task works on it, the number of its rows among the facts.

    Raises:
        DataError: the task can make nothing of the rows.
    """
    from graftlm.stages.applying import embedder
    from graftlm.stages.reading import columns_of

    embed = embedder(precision=section.precision, device=section.device)
    splits = task.prepare(dict(dataset.splits), Preparing(section.seed, embed, columns_of))
    if all(splits.get(name) is rows for name, rows in dataset.splits.items()) and len(splits) == len(dataset.splits):
        return dataset
    facts = {**dataset.facts, "prepared": {name: len(rows) for name, rows in splits.items()}}
    return dataclasses.replace(dataset, splits=splits, facts=facts)


@contextmanager
def of_task(name: str) -> Iterator[None]:
    """Let faults in the data, while in the block, tell which of several tasks has them."""
    try:
        yield
    except DataError as fault:
        raise DataError(f"tasks.{name}: {fault}") from None


def check(
    recipe: Recipe,
    given: Mapping[str, Any] | None = None,
    *,
    opened: Callable[[Callable[[], Iterable[str]]], Base] | None = None,
) -> Checked:
    """Read and check the data of a recipe; with a base model, token lengths and language too.

    `opened(texts)` opens the base model: it is called once the data can be read and the task can use them, with a
    function that yields the texts of the training rows.

    Raises:
        DataError: the data cannot be read, or the task cannot use them and there is a base model to open.
        RecipeError: the recipe has a balancer, and one task.
    """
    from graftlm.pipeline import known
    from graftlm.stages import checking, reading, unknown
    from graftlm.stages.language import check_language

    task = recipe.task
    if recipe.balancer != Recipe().balancer:
        raise RecipeError(
            f"balancer '{recipe.balancer.name()}': there is one task, and nothing to balance. Name several under "
            "'tasks', or leave it out."
        )
    dataset, key = known.dataset(recipe, given, lambda: reading.read(recipe.data, task, given, seed=recipe.train.seed))
    dataset = prepared(unknown.settle(dataset, task, recipe.data.bad_rows), task, recipe.train)
    base = None
    if opened is not None:
        checking.raise_for([*dataset.findings, *task.check(dict(dataset.splits))])
        base = opened(lambda: _texts(dataset.train, task))
        task.suits(base.card)
        task = task.settled(dataset.train, base.tokenizer)
    for augmentation in recipe.augmentations:
        augmentation.check(Scene(base, marked=task.marked))
    limit = base.card.limit if base else None
    lengths = None
    if base is not None:
        tokenizer, longest = base.tokenizer, base.card.limit

        def lengths(rows: Rows) -> Any:
            import numpy as np

            from graftlm.core import log
            from graftlm.stages.training.encoding import stored, stored_lengths

            if (place := stored(rows, task, tokenizer, longest)) is not None:
                return stored_lengths(place, len(rows))
            found = np.zeros(len(rows), dtype=np.int64)  # of several inputs of a row, the longest
            begin = 0
            for chunk in rows.chunks():
                inputs = task.encode(chunk, tokenizer, longest)
                places = np.array([one.row for one in inputs], dtype=np.int64) + begin
                np.maximum.at(found, places, np.array([len(one) + one.truncated for one in inputs], dtype=np.int64))
                begin += len(chunk)
                log.advance(f"counting tokens of {rows.name}", begin, len(rows))
            return found

    def whole() -> checking.Checked:
        found = checking.check(dataset, task, recipe.data, lengths=lengths, limit=limit)
        if base is None:
            return found
        roles = [role.name for role in task.roles if role.kind == "text"]
        more = check_language(found.dataset.train, roles, base.card, base.tokenizer)
        return dataclasses.replace(found, findings=(*found.findings, *more))

    beside: list[Any] = [task.as_use(), recipe.data.overlap]
    if base is not None:
        from graftlm.nn.tokens import tokenizer_mark

        beside += [tokenizer_mark(base.tokenizer), limit, base.card.name, base.card.languages, base.card.pretrained]
        key = key if beside[2] is not None else None  # a tokenizer whose inside is not known
    found = known.checked(key, beside, dataset, whole)
    return Checked(found.dataset, tuple(found.findings), found.counts, limit, base, task)


def _texts(rows: Rows, task: Task) -> Iterator[str]:
    """Yield every text of some rows, targets among them, those inside lists and mappings too."""
    for role in task.roles:
        if role.kind != "other" and rows.has(role.name):
            for value in rows.column(role.name):
                yield from _inside(value)


def _inside(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _inside(inner)


def estimated(recipe: Recipe, checked: Checked) -> Checked:
    """Return checked data with an estimate of the memory that their fit needs at most.

    Raises:
        UserError: what the recipe asks for cannot be followed without weights; the message says what.
    """
    from graftlm.stages import checking
    from graftlm.stages.training.estimating import estimate
    from graftlm.stages.training.fitting import Wanted

    checking.raise_for(checked.findings)
    task, rows, base = checked.task or recipe.task, checked.dataset.train, checked.base
    if base is None:
        raise ValueError("expected data that were checked with a base model")
    wanted = Wanted(recipe.train, recipe.backbone, task, recipe.methods, recipe.losses, recipe.augmentations)
    found = estimate(wanted, base, task.space(rows), rows, limit=checked.limit or base.card.limit)
    return dataclasses.replace(checked, memory=found)
