"""Reading whole splits: for training, and for judging what was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts import tables as tables_
from graftlm.contracts.dataset import Dataset
from graftlm.contracts.reader import BadRows, Corpus, Reader, RowFault, plain
from graftlm.contracts.rows import ID, Rows, fingerprint, pick
from graftlm.contracts.task import Task
from graftlm.contracts.values import Finding
from graftlm.core import seeds
from graftlm.core.errors import DataError, listing, near
from graftlm.recipe import DataSection, SplitSection
from graftlm.stages.reading.columns import Columns, choose, flat
from graftlm.stages.reading.nested import with_parts
from graftlm.stages.reading.shaping import shape, sound, target_role
from graftlm.stages.reading.sources import find
from graftlm.stages.reading.splitting import cut, divide, from_column

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class _Source:
    table: pa.Table
    extras: Mapping[str, pa.ChunkedArray]
    facts: dict[str, Any]
    findings: tuple[Finding, ...]


def read(section: DataSection, task: Task, given: Mapping[str, Any] | None = None, *, seed: int = 0) -> Dataset:
    """Read all splits; make those that were not given, as `section.split` says.

    `given` maps "train", "valid", "test" to paths or objects in memory that take the place of the
    section's own.

    Raises:
        DataError: a source cannot be read or has no rows, a column or role cannot be found, a row is
            broken and `section.bad_rows` is "stop".
    """
    wanted = {name: getattr(section, name) for name in _SPLITS} | dict(given or {})
    if odd := [name for name in wanted if name not in _SPLITS]:
        raise DataError(f"There is no split {listing(odd)}; splits are {listing(_SPLITS)}.")
    if wanted["train"] is None:
        raise DataError("No training data are named; set data.train to a file, a folder or a Hub data set.")
    sources: dict[str, _Source] = {}
    for name in _SPLITS:
        if wanted[name] is not None:
            extras = _extras(section.split) if name == "train" else ()
            sources[name] = _source(wanted[name], task, section.columns, section.reader, section.bad_rows, extras)
    facts: dict[str, Any] = {
        "sources": {name: source.facts for name, source in sources.items()},
        "splits": {},
        "unused": 0,
    }
    findings = tuple(finding for source in sources.values() for finding in source.findings)
    tables = {name: source.table for name, source in sources.items()}
    extras_ = dict(sources["train"].extras)
    origin = dict.fromkeys(sources, "given")
    del sources
    tables_.release()
    made = _made(tables, extras_, section, task, seed, facts)
    origin |= made
    if section.limit is not None and len(tables["train"]) > section.limit:
        chosen = seeds.generator(seed, "limit").permutation(len(tables["train"]))[: section.limit]
        facts["unused"] = len(tables["train"]) - section.limit
        tables["train"] = pick(tables["train"], np.sort(chosen).tolist())
    target = target_role(task)
    splits: dict[str, Rows] = {}
    for name in _SPLITS:
        if name in tables:
            tables_.release()
            table = tables_.stored(tables.pop(name))
            splits[name] = Rows(name, table, target if target in table.column_names else None, fingerprint(table))
            how = facts.get("made", {}).get(name)
            facts["splits"][name] = {
                "rows": table.num_rows,
                "from": name if origin[name] == "given" else "train",
                **({"made": how} if how else {}),
            }
    tables_.release()
    facts.pop("made", None)
    return Dataset(splits, facts, findings)


def read_rows(
    source: Any,
    task: Task,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    reader: Reader | None = None,
    need_target: bool = False,
    bad_rows: BadRows = "stop",
    name: str = "rows",
) -> Rows:
    """Read one source whole; the target's column is optional unless `need_target` is set.

    Raises:
        DataError: as `read`.
    """
    found = _source(source, task, columns or {}, reader, bad_rows, (), need_target=need_target)
    target = target_role(task)
    return Rows(name, found.table, target if target in found.table.column_names else None, fingerprint(found.table))


def columns_of(path: str) -> dict[str, list[Any]]:
    """Read a file beside the rows: its columns by name, values as text.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    reader, given = find(path, None)
    corpus = reader.read(given, bad_rows="stop")
    check_rows(corpus)
    table = corpus.table
    return {name: [plain(value) for value in table.column(name).to_pylist()] for name in table.column_names}


def _source(
    given: Any,
    task: Task,
    named: Mapping[str, str | Sequence[str]],
    reader: Reader | None,
    bad_rows: BadRows,
    extras: Sequence[tuple[str, str]],
    *,
    need_target: bool = True,
) -> _Source:
    reader, given = find(given, reader)
    corpus = reader.read(given, bad_rows=bad_rows)
    check_rows(corpus)
    corpus = replace(corpus, table=with_parts(corpus.table, named))
    names = corpus.table.column_names
    faults = [
        f"{corpus.source}: there is no column '{column}' (data.split.{key} names it).{near(column, names)} "
        f"Columns: {listing(names, 30)}."
        for key, column in extras
        if column not in names
    ]
    if faults:
        raise DataError("\n".join(faults))
    numbered = corpus.facts.get("header", "").startswith("none")
    optional = need_target or target_role(task) in named
    columns = choose(corpus.table, task, named, corpus.source, need_target=need_target, by_name=not numbered)
    if not optional:
        columns = _with_target(corpus, task, columns)
    shaped = shape(
        corpus, task, columns, need_target=need_target, bad_rows=bad_rows, extras=[column for _, column in extras]
    )
    shaped = sound(shaped, task, columns, bad_rows=bad_rows)
    skipped = (*corpus.skipped, *shaped.faults)
    gone = {fault.where for fault in shaped.faults}
    mended = tuple(fault for fault in corpus.mended if fault.where not in gone)
    if not shaped.table.num_rows:
        raise DataError(
            f"{corpus.source}: none of {corpus.read} rows could be used; the first: {skipped[0].where}: "
            f"{skipped[0].reason}."
        )
    table, repeated = _unique_ids(shaped.table, columns)
    facts = {
        "source": corpus.source,
        "reader": reader.name(),
        "format": dict(corpus.facts),
        "read": corpus.read,
        "kept": table.num_rows,
        "skipped": len(skipped),
        "mended": len(mended),
        "faults": [
            *({**fault.as_json(), "done": "skipped"} for fault in skipped),
            *({**fault.as_json(), "done": "kept in part"} for fault in mended),
        ],
        "columns": columns.as_json(),
        "unread": [name for name in columns.unread if name not in {column for _, column in extras}],
    }
    return _Source(table, shaped.extras, facts, _findings(corpus, columns, skipped, mended, repeated))


def check_rows(corpus: Corpus) -> None:
    """Refuse a source without rows.

    Raises:
        DataError: it has none.
    """
    if corpus.table.num_rows:
        return
    if corpus.skipped:
        first = corpus.skipped[0]
        raise DataError(
            f"{corpus.source}: none of {corpus.read} rows could be read; the first: {first.where}: {first.reason}."
        )
    names = corpus.table.column_names
    raise DataError(
        f"{corpus.source}: expected rows below the header, found the header alone ({listing(names, 30)})."
        if names
        else f"{corpus.source}: expected rows, found none."
    )


def _with_target(corpus: Corpus, task: Task, columns: Columns) -> Columns:
    """Add the target's column where its name tells it, for rows that may go without."""
    try:
        return choose(corpus.table, task, columns.roles, corpus.source, need_target=False)
    except DataError:
        return columns


def _extras(split: SplitSection) -> tuple[tuple[str, str], ...]:
    needed = {"group": split.group, "time": split.time}
    if split.by in needed and needed[split.by] is None:
        raise DataError(f"data.split.by is '{split.by}': name the column with data.split.{split.by}.")
    wanted: list[tuple[str, str | None]] = [(split.by, needed[split.by])] if split.by in needed else []
    wanted.append(("column", split.column))
    return tuple((key, column) for key, column in wanted if column is not None)


def _made(
    tables: dict[str, pa.Table],
    extras: Mapping[str, pa.ChunkedArray],
    section: DataSection,
    task: Task,
    seed: int,
    facts: dict[str, Any],
) -> dict[str, str]:
    """Cut the splits that were not given out of the training rows, in place; return where they come from."""
    split = section.split
    made: dict[str, str] = {}
    facts["made"] = {}
    if split.column is not None:
        assigned = from_column(extras[split.column], split.column)
        found = [name for name in _SPLITS if (assigned == name).any()]
        if both := [name for name in found if name != "train" and name in tables]:
            raise DataError(
                f"Split {listing(both)} is given twice: by data.{both[0]} and by column '{split.column}'; name one."
            )
        if "train" not in found:
            raise DataError(f"Column '{split.column}' (data.split.column) marks no row as training row.")
        keep = assigned == "train"
        parts = divide(tables.pop("train"), assigned, found)
        tables.update(parts)
        extras = {name: column.filter(keep) for name, column in extras.items()}
        made |= dict.fromkeys(found, "column")
        facts["made"] |= {name: {"by": "column", "column": split.column} for name in found}
    shares = {} if task.splits_itself else {"test": split.test, "valid": split.valid}
    # Both shares are of all training rows, so that the order of cutting does not change their sizes.
    total = len(tables["train"])
    for name, share in shares.items():
        if name in tables or share == 0:
            continue
        rows = len(tables["train"])
        wanted = min(share * total / rows, 1.0)
        by = split.by
        column = extras[str(split.group if by == "group" else split.time)] if by in ("group", "time") else None
        target = target_role(task)
        truth = tables["train"].column(target) if target in tables["train"].column_names else None
        source = split.group if by == "group" else split.time
        if task.group is not None and by not in ("group", "time") and task.group in tables["train"].column_names:
            by, column, source = "group", tables["train"].column(task.group), task.group
        mask, how = cut(
            by, wanted, seed, name, target=truth, column=column, name=source, rows=rows, keeps_each=task.of_classes
        )  # fmt: skip
        if not mask.any():
            continue
        extras = {key: values.filter(~mask) for key, values in extras.items()}
        tables.update(divide(tables.pop("train"), np.where(mask, name, "train").astype(object), ("train", name)))
        made[name] = "cut"
        facts["made"][name] = {**how, "share": share}
    return made


def _unique_ids(table: pa.Table, columns: Columns) -> tuple[pa.Table, int]:
    """Number the rows where the ids of the data are not distinct: answers of two runs are paired by them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if columns.id is None:
        return table, 0
    repeated = table.num_rows - pc.count_distinct(table.column(ID)).as_py()
    if repeated:
        numbers = pa.array(np.arange(1, table.num_rows + 1).astype(str), pa.string())
        table = table.set_column(table.column_names.index(ID), ID, numbers)
    return table, repeated


def _findings(
    corpus: Corpus, columns: Columns, skipped: Sequence[RowFault], mended: Sequence[RowFault], repeated: int
) -> tuple[Finding, ...]:
    found = []
    for code, faults, what in (("skipped", skipped, "left out"), ("mended", mended, "kept in part")):
        if faults:
            message = (
                f"{corpus.source}: {len(faults)} of {corpus.read} rows were {what}; the first: {faults[0].reason}."
            )
            found.append(Finding("warning", code, message, len(faults), tuple(f.where for f in faults[:5])))
    if columns.doubt:
        chosen = ", ".join(f"{listing(flat([name]))} as {role}" for role, name in columns.roles.items())
        message = f"{corpus.source}: columns were guessed from their contents: {chosen}; {columns.doubt}."
        found.append(Finding("warning", "guessed", message + " Name them with data.columns."))
    if repeated:
        message = f"{corpus.source}: column '{columns.id}' repeats {repeated} ids; rows are numbered instead."
        found.append(Finding("note", "ids", message, repeated))
    return tuple(found)
