"""Checking: what is wrong with the data, or worth knowing, before any model loads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts import tables
from graftlm.contracts.dataset import Dataset
from graftlm.contracts.rows import Rows
from graftlm.contracts.task import Task
from graftlm.contracts.values import Finding
from graftlm.core import log
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection

if TYPE_CHECKING:
    import pyarrow as pa

_NAMED = 10  # places that a finding names
_BATCH = 1 << 15


@dataclass(frozen=True, slots=True)
class Checked:
    """A data set after its check: overlapping training rows removed where asked for, findings, counts by split.

    `counts[split]` has `rows` (as read), `removed`, `kept`, `empty`, `repeated` (texts of an earlier row of
    the split), `shared` (texts that stand in another split), and `characters`, the median and longest text.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    counts: Mapping[str, Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return what data.json keeps."""
        return {
            **self.dataset.facts,
            "counts": {name: dict(found) for name, found in self.counts.items()},
            "fingerprints": self.dataset.fingerprints(),
            "findings": [finding.as_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class _Split:
    """One split as its check sees it: hashes of normalised texts and of targets (N,), lengths in characters (N,)."""

    rows: Rows
    texts: np.ndarray
    targets: np.ndarray | None
    empty: np.ndarray
    characters: np.ndarray


def check(
    dataset: Dataset,
    task: Task,
    section: DataSection,
    *,
    lengths: Callable[[Rows], np.ndarray] | None = None,
    limit: int | None = None,
) -> Checked:
    """Check a data set; texts are compared after Unicode NFKC, with each run of white space as one space.

    `lengths(rows)` gives the tokens of each row (N,), `limit` the longest input in tokens; without
    `lengths`, lengths are told in characters. Findings of level "error" are not raised: see `raise_for`.
    """
    roles = [role for role in task.roles if role.kind == "text"]
    splits = {name: _look(rows, [role.name for role in roles]) for name, rows in dataset.splits.items()}
    findings = [*dataset.findings, *_adding_up(dataset.facts)]
    for name, split in splits.items():
        findings += _empty(name, split)
        findings += _long(name, split, lengths, limit)
        findings += _repeated(name, split)
    doomed = np.zeros(len(splits["train"].texts), bool) if "train" in splits else np.zeros(0, bool)
    for first, second in combinations(splits, 2):
        remove = section.overlap == "remove" and first == "train"
        found, mask = _shared(first, splits[first], second, splits[second], remove)
        findings += found
        if remove:
            doomed |= mask
    if not task.splits_itself:  # there rows are steps, and the same past may go on in several ways
        findings += _contradicting(splits)
    counts = {name: _counts(name, split, splits) for name, split in splits.items()}
    if doomed.any():
        kept = dataset.train.take(np.flatnonzero(~doomed).tolist())
        dataset = replace(dataset, splits={**dataset.splits, "train": kept})
        counts["train"] |= {"removed": int(doomed.sum()), "kept": len(kept)}
    if dataset.splits and min(map(len, dataset.splits.values())) == 0:
        findings.append(
            Finding("error", "no_rows", "train: every training row stands in another split too; none is left.")
        )
    else:
        findings += task.check(dict(dataset.splits))
    return Checked(dataset, tuple(findings), counts)


def raise_for(findings: Iterable[Finding]) -> None:
    """Refuse data with faults.

    Raises:
        DataError: there are findings of level "error"; the message has all of them.
    """
    faults = [finding for finding in findings if finding.level == "error"]
    if not faults:
        return
    lines = [fault.message + (f" ({', '.join(fault.rows[:5])})" if fault.rows else "") for fault in faults]
    if len(lines) == 1:
        raise DataError(lines[0])
    raise DataError("The data have several faults:\n" + "\n".join(f"  {n}. {line}" for n, line in enumerate(lines, 1)))


def _look(rows: Rows, roles: Sequence[str]) -> _Split:
    import pyarrow.compute as pc

    present = [role for role in roles if rows.has(role)]
    texts: list[np.ndarray] = []
    empty: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    done = 0
    for batch in tables.resting(rows.table.select(present).to_batches(max_chunksize=_BATCH), every=1):
        done += batch.num_rows
        log.advance(f"checking {rows.name}", done, len(rows))
        columns = [_normal(column) for column in batch.columns]
        texts.append(_hashes(zip(*(column.to_pylist() for column in columns), strict=True)))
        empty.append(np.logical_or.reduce([_array(pc.equal(column, "")) for column in columns]))
        sizes.append(np.sum([_array(pc.utf8_length(column)) for column in columns], axis=0))
    targets = None
    if rows.target is not None:
        parts = rows.table.select([rows.target]).to_batches(max_chunksize=_BATCH)
        targets = _joined([_hashes((str(v),) for v in batch.column(0).to_pylist()) for batch in parts], np.uint64)
    return _Split(rows, _joined(texts, np.uint64), targets, _joined(empty, bool), _joined(sizes, np.int64))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _joined(parts: list[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, kind)


def _normal(column: pa.Array) -> pa.Array:
    """Return texts in NFKC, each run of white space (of any script) one space, none at the ends; null as empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type):
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    column = pc.utf8_normalize(pc.fill_null(column, ""), "NFKC")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"[\s\pZ]+", " "))


def _hashes(rows: Iterable[tuple[str, ...]]) -> np.ndarray:
    """Return 64 bits for each row: among a million texts, two meet by chance once in 37 million data sets."""
    digests = b"".join(hashlib.blake2b("\x1f".join(row).encode(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, np.uint64)


def _places(rows: Rows, numbers: np.ndarray) -> list[str]:
    return [rows.where(int(number)) for number in numbers[:_NAMED]]


def _percent(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} ({100 * count / rows:.1f} %)"


def _adding_up(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Hold read = kept + skipped for each source, and kept = rows of its splits + unused."""
    for name, source in facts.get("sources", {}).items():
        used = sum(split["rows"] for split in facts.get("splits", {}).values() if split["from"] == name)
        used += facts.get("unused", 0) if name == "train" else 0
        if source["read"] != source["kept"] + source["skipped"] or used != source["kept"]:
            yield Finding(
                "error",
                "counts",
                f"{source['source']}: the counts do not add up: read {source['read']}, kept {source['kept']}, skipped "
                f"{source['skipped']}, in splits or unused {used}. This is a defect of the program; please report it.",
            )


def _empty(name: str, split: _Split) -> Iterator[Finding]:
    found = np.flatnonzero(split.empty)
    if len(found):
        level = "error" if len(found) == len(split.empty) else "warning"
        message = f"{name}: {_percent(len(found), len(split.empty))} texts are empty."
        yield Finding(level, "empty_text", message, len(found), tuple(_places(split.rows, found)))


def _long(
    name: str, split: _Split, lengths: Callable[[Rows], np.ndarray] | None, limit: int | None
) -> Iterator[Finding]:
    if not len(split.characters):
        return
    if lengths is None or limit is None:
        middle, most, top = np.percentile(split.characters, [50, 95, 100])
        message = (
            f"{name}: half of the texts have at most {middle:.0f} characters, 95 % at most {most:.0f}, all {top:.0f}."
        )
        yield Finding("note", "lengths", message)
        return
    tokens = np.asarray(lengths(split.rows))
    over = np.flatnonzero(tokens > limit)
    if len(over):
        lost = (tokens[over] - limit).sum() / tokens.sum()
        order = over[np.argsort(-tokens[over], kind="stable")]
        message = (
            f"{name}: {_percent(len(over), len(tokens))} texts are longer than {limit} tokens and are cut there; "
            f"{100 * lost:.1f} % of all tokens are lost, the longest text has {int(tokens.max()):,}."
        )
        level = "warning" if len(over) >= 0.05 * len(tokens) else "note"
        yield Finding(level, "long_text", message, len(over), tuple(_places(split.rows, order)))


def _repeats(split: _Split) -> np.ndarray:
    """Return the numbers of rows whose text stands in an earlier row; empty texts are told elsewhere."""
    _, first = np.unique(split.texts, return_index=True)
    later = ~split.empty
    later[first] = False
    return np.flatnonzero(later)


def _repeated(name: str, split: _Split) -> Iterator[Finding]:
    found = _repeats(split)
    if len(found):
        message = f"{name}: {_percent(len(found), len(split.texts))} rows repeat the text of an earlier row."
        level = "warning" if len(found) >= 0.05 * len(split.texts) else "note"
        yield Finding(level, "duplicates", message, len(found), tuple(_places(split.rows, found)))


def _shared(first: str, one: _Split, second: str, two: _Split, remove: bool) -> tuple[list[Finding], np.ndarray]:
    """Compare two splits; return findings, and the mask of the first one's rows that stand in the second."""
    here = np.isin(one.texts, two.texts) & ~one.empty
    there = np.flatnonzero(np.isin(two.texts, one.texts) & ~two.empty)
    if not len(there):
        return [], here
    named = there[:_NAMED]
    order = np.argsort(one.texts, kind="stable")
    match = order[np.searchsorted(one.texts, two.texts[named], sorter=order)]
    pairs = zip(_places(two.rows, named), _places(one.rows, match), strict=True)
    message = f"{second}: {_percent(len(there), len(two.texts))} texts stand in {first} too"
    if remove:
        message += f"; the {int(here.sum()):,} rows of {first} with them were removed."
    elif first == "train":
        message += f", so that figures on {second} flatter. Set data.overlap to 'remove' to drop them from {first}."
    else:
        message += "."
    rows = tuple(f"{place} = {other}" for place, other in pairs)
    return [Finding("note" if remove else "warning", "overlap", message, len(there), rows)], here


def _contradicting(splits: Mapping[str, _Split]) -> Iterator[Finding]:
    """Find texts that stand with different targets, over all splits together."""
    known = [split for split in splits.values() if split.targets is not None]
    if not known:
        return
    kept = [~split.empty for split in known]
    texts = np.concatenate([split.texts[mask] for split, mask in zip(known, kept, strict=True)])
    targets = np.concatenate([s.targets[mask] for s, mask in zip(known, kept, strict=True) if s.targets is not None])
    if not len(texts):
        return
    order = np.argsort(texts, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], texts[order][1:] != texts[order][:-1]]))
    differ = np.minimum.reduceat(targets[order], starts) != np.maximum.reduceat(targets[order], starts)
    count = int(differ.sum())
    if not count:
        return
    sizes = np.diff(np.concatenate([starts, [len(texts)]]))
    rows = int(sizes[differ].sum())
    numbers = np.concatenate([np.arange(b, b + n) for b, n in zip(starts[differ][:4], sizes[differ][:4], strict=True)])
    places = _anywhere(known, kept, order[numbers])
    message = f"{count:,} texts stand with different targets, in {rows:,} rows; no model can learn both."
    yield Finding("warning", "contradictions", message, count, tuple(places[:_NAMED]))


def _anywhere(splits: Sequence[_Split], kept: Sequence[np.ndarray], numbers: np.ndarray) -> list[str]:
    """Return places of rows numbered through all splits, empty texts not counted."""
    found: list[str] = []
    offsets = np.cumsum([0, *(int(mask.sum()) for mask in kept)])
    for number in numbers[:_NAMED]:
        which = int(np.searchsorted(offsets, number, side="right")) - 1
        row = int(np.flatnonzero(kept[which])[number - offsets[which]])
        found.append(splits[which].rows.where(row))
    return found


def _counts(name: str, split: _Split, splits: Mapping[str, _Split]) -> dict[str, Any]:
    others = [other.texts for label, other in splits.items() if label != name]
    shared = np.isin(split.texts, np.concatenate(others)) & ~split.empty if others else np.zeros(0, bool)
    rows = len(split.texts)
    return {
        "rows": rows,
        "removed": 0,
        "kept": rows,
        "empty": int(split.empty.sum()),
        "repeated": len(_repeats(split)),
        "shared": int(shared.sum()),
        "characters": {
            "median": float(np.median(split.characters)) if rows else 0.0,
            "longest": int(split.characters.max(initial=0)),
        },
    }
