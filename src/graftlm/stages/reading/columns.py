"""Which column plays which role: as named by the user, by names that people give, or by content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from graftlm.contracts.reader import plain
from graftlm.contracts.rows import pick
from graftlm.contracts.task import Role, Task
from graftlm.core.errors import DataError, listing, near
from graftlm.core.naming import folded
from graftlm.stages.reading.others import others

if TYPE_CHECKING:
    import pyarrow as pa

Named = str | tuple[str, ...]
"""The column of a role, or the several columns that make it up together."""

IDS = ("id", "guid", "uid", "uuid", "idx", "index", "row_id", "example_id", "编号", "序号")
_FLAGS = {"0", "1", "true", "false"}
_MOSTLY = 0.9  # of values that are flags: the others are faults of such a column, to be named as such
_SAMPLE = 5000
_LABEL_LENGTH = 60  # characters; class names hardly ever are longer on average


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of each role, why it was chosen, the column of ids (None: rows are numbered), and those not read."""

    roles: Mapping[str, Named]
    why: Mapping[str, str]
    id: str | None = None
    doubt: str | None = None
    unread: tuple[str, ...] = ()

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return the JSON form."""
        found: dict[str, dict[str, Any]] = {
            role: {"column": name if isinstance(name, str) else list(name), "why": self.why[role]}
            for role, name in self.roles.items()
        }
        if self.id is not None:
            found["id"] = {"column": self.id, "why": self.why["id"]}
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    """What a sample of a column looks like."""

    filled: int
    distinct: int
    length: float
    number: bool
    nested: bool
    flags: float

    @property
    def flag(self) -> bool:
        """Tell whether all values are 0 and 1."""
        return self.flags == 1.0


def choose(
    table: pa.Table,
    task: Task,
    named: Mapping[str, str | Sequence[str]],
    source: str,
    *,
    need_target: bool,
    by_name: bool = True,
) -> Columns:
    """Choose the column of each role of a task, or the columns.

    `by_name` is False where the columns have no names of their own.

    Raises:
        DataError: a named role or column does not exist, or a required role finds no column.
    """
    names = list(table.column_names)
    roles, why = _named(task, named, names, source)
    given = roles.pop("id", None)
    ident = given if given is None or isinstance(given, str) else given[0]
    looks = _looks(table)
    if by_name:
        taken = {*flat(roles.values()), *([ident] if ident else [])}
        for role in task.roles:
            if role.name in roles or (role.kind == "target" and not need_target and not named):
                continue
            if (found := _by_name(role, names, taken, looks)) is not None:
                roles[role.name], why[role.name] = found, "by its name"
                taken.update(flat([found]))
        if ident is None:
            ident = next((n for wish in IDS for n in names if folded(n) == wish and n not in taken), None)
            if ident is not None:
                why["id"] = "by its name"

    def called(some: Sequence[Role]) -> list[str]:
        used: set[str] = set()
        there = []
        for role in some:
            if (found := _by_name(role, names, used, looks)) is not None:
                there.append(role.name)
                used.update(flat([found]))
        return there

    doubt = _by_content(task, roles, why, looks, {ident} if ident else set(), need_target)
    missing = [r for r in task.roles if r.required and r.name not in roles and (r.kind != "target" or need_target)]
    if missing:
        flags = [name for name, look in looks.items() if look.flag and name not in flat(roles.values())]
        blank = [name for name, look in looks.items() if not look.filled]
        raise _missing(
            missing, names, roles, source, flags, blank, others(task, called) if by_name and need_target else ""
        )
    guessed = any(role.kind == "target" and why.get(role.name, "").startswith("it holds") for role in task.roles)
    if by_name and guessed and (better := others(task, called)):
        doubt = f"{doubt}; {better}" if doubt else better
    used = {*flat(roles.values()), ident}
    return Columns(roles, why, ident, doubt, tuple(name for name in names if name not in used))


def _named(
    task: Task, named: Mapping[str, str | Sequence[str]], names: Sequence[str], source: str
) -> tuple[dict[str, Named], dict[str, str]]:
    known = [*(role.name for role in task.roles), "id"]
    faults: list[str] = []
    roles = {role: one if isinstance(one, str) else tuple(one) for role, one in named.items()}
    for role, given in roles.items():
        if role not in known:
            faults.append(f"data.columns: task '{task.name()}' has no role '{role}'.{near(role, known)} "
                          f"Roles: {listing(known)}.")  # fmt: skip
        if (role == "id" and not isinstance(given, str)) or not given:
            faults.append(f"data.columns: expected the name of one column for '{role}'; got {list(given)}.")
            continue
        faults += [
            f"{source}: there is no column '{column}' (data.columns gives it the role '{role}')."
            f"{near(column, names)} Columns: {listing(names, 30)}."
            for column in flat([given])
            if column not in names
        ]
    if faults:
        raise DataError("\n".join(faults))
    return roles, dict.fromkeys(named, "named by you")


def flat(columns: Iterable[Named]) -> list[str]:
    """Return the names of all columns, those of a role that has several one by one."""
    return [name for one in columns for name in ([one] if isinstance(one, str) else one)]


def _by_name(role: Role, names: Sequence[str], taken: set[str], looks: Mapping[str, _Look]) -> Named | None:
    several = _numbered(role, [name for name in names if name not in taken]) if role.spread == "numbered" else None
    for wish in map(folded, (role.name, *role.names)):
        for name in names:
            if folded(name) == wish and name not in taken and (looks[name].filled or role.blank):
                # beside `A`, `B`, `C` a column called `answer` is no list of choices
                return several if several and not looks[name].nested else name
    return several


def _numbered(role: Role, names: Sequence[str]) -> Named | None:
    """Return the columns that one of a role's names numbers: `option_a`, `option_b`; `ending0`, ...; `A`, `B`, ..."""
    for wish in (*map(folded, (role.name, *role.names)), ""):
        found = {}
        for name in names:
            match = re.fullmatch(r"_?(\d{1,2}|[a-z])_?", folded(name).removeprefix(wish))
            if match and folded(name).startswith(wish) and not (wish == "" and match[1].isdigit()):
                found[int(match[1]) if match[1].isdigit() else ord(match[1]) - ord("a") + 1] = name
        first = 0 if 0 in found else 1
        run = tuple(found[number] for number in sorted(found) if set(range(first, number)) <= set(found))
        if len(run) > 1 and first in found:
            return run
    return None


def _by_content(
    task: Task,
    roles: dict[str, Named],
    why: dict[str, str],
    looks: Mapping[str, _Look],
    barred: set[str],
    need_target: bool,
) -> str | None:
    """Fill required roles that have no column yet: longest texts; few distinct short values."""
    doubt = None
    for role in task.roles:
        taken = {*flat(roles.values()), *barred}
        free = {n: look for n, look in looks.items() if n not in taken and look.filled}
        if role.name in roles or not role.required:
            continue
        if role.kind == "text":
            texts = {n: look for n, look in free.items() if not look.number and not look.nested}
            if texts:
                found = max(texts, key=lambda n: texts[n].length)
                roles[role.name] = found
                why[role.name] = f"its texts are the longest ({texts[found].length:.0f} characters on average)"
        elif role.spread == "flags" and need_target and len(free) > 1 and _flagged(free):
            alone = "alone" if all(look.flag for look in free.values()) else "nearly everywhere"
            roles[role.name], why[role.name] = tuple(free), f"the other {len(free)} columns hold 0 and 1 {alone}"
        elif role.kind == "target" and need_target:
            doubt = _label(role, free, looks, roles, why)
    return doubt


def _flagged(free: Mapping[str, _Look]) -> bool:
    """Tell whether columns hold 0 and 1, or would but for a few values."""
    return all(look.flags >= _MOSTLY for look in free.values()) and any(look.flag for look in free.values())


def _label(
    role: Role, free: Mapping[str, _Look], looks: Mapping[str, _Look], roles: dict[str, Named], why: dict[str, str]
) -> str | None:
    names = list(looks)
    longest = max((looks[name].length for name in flat(roles.values()) if name in looks), default=0.0)
    short = {n: look for n, look in free.items() if look.length <= _LABEL_LENGTH and not look.nested}
    if role.spread == "flags":  # one column of 0 and 1 among others is no set of labels
        short = {n: look for n, look in short.items() if not look.flag}
    likely = {n: k for n, k in short.items() if _repeats(k, longest)}
    if not likely and len(short) == 1 and len(names) <= 3:
        likely = {n: k for n, k in short.items() if k.distinct < 0.9 * k.filled}
    if not likely:
        return None
    ends = [name for name in (names[-1], names[0]) if name in likely]
    found = ends[0] if ends else min(likely, key=lambda n: likely[n].distinct)
    roles[role.name] = found
    why[role.name] = f"it holds {likely[found].distinct} distinct short values"
    others = [name for name in likely if name != found]
    return f"{listing(others)} would do as well" if others else None


def _repeats(look: _Look, longest: float) -> bool:
    """Tell whether values come again, as class names do; in a handful of rows, whether they are much shorter."""
    if look.filled <= 20:
        return look.distinct < look.filled or look.length <= min(20.0, 0.5 * longest)
    return 1 < look.distinct <= max(2, 0.5 * look.filled)


def _looks(table: pa.Table) -> dict[str, _Look]:
    """Look at rows spread over the whole table, since files are often sorted by class."""
    rows = table.num_rows
    places = np.unique(np.linspace(0, max(rows - 1, 0), min(rows, _SAMPLE)).astype(np.int64))
    sample = pick(table, places.tolist())
    found: dict[str, _Look] = {}
    for name in table.column_names:
        given = sample.column(name).to_pylist()
        nested = any(isinstance(value, list | dict) for value in given)
        texts = [text for text in map(plain, given) if text is not None and text.strip()]
        mean = sum(map(len, texts)) / len(texts) if texts else 0.0
        number = bool(texts) and all(re.fullmatch(r"[-+]?[\d.,]+(e[-+]?\d+)?", text.strip()) for text in texts)
        flags = sum(text.strip().casefold() in _FLAGS for text in texts) / len(texts) if texts else 0.0
        found[name] = _Look(len(texts), len(set(texts)), mean, number, nested, flags)
    return found


def _missing(
    roles: Sequence[Role],
    names: Sequence[str],
    found: Mapping[str, Named],
    source: str,
    flags: Sequence[str],
    blank: Sequence[str],
    other: str,
) -> DataError:
    wanted = "; ".join(f"'{role.name}' ({role.about}; such as {listing(role.names, 6)})" for role in roles)
    already = "".join(f" {listing(flat([name]))} is the {role}." for role, name in found.items())
    example = ", ".join(f"{role.name}: {'COLUMN' if role.spread == 'no' else '[COLUMN, ...]'}" for role in roles)
    option = " ".join(f"--column {role.name}=COLUMN" for role in roles)
    several = flags and any(role.spread == "flags" for role in roles)
    hint = f" {listing(flags, 30)} hold 0 and 1 alone; a list of columns may be named." if several else ""
    empty = f" Nothing stands in {listing(blank, 30)}." if blank else ""
    better = f" {other[0].upper()}{other[1:]}." if other else ""
    return DataError(
        f"{source}: no column was found for {wanted}. Columns: {listing(names, 30)}.{empty}{already}{hint} "
        f"Name it with {option}, or in a recipe with data.columns, {{{example}}}.{better}"
    )
