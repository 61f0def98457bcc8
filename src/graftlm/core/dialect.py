"""Dialects of separated text: delimiter, quoting and header are found out from the text itself."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from graftlm.core.naming import folded

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
ONE_COLUMN = "\x1f"
"""Stands for "no delimiter": the unit separator, which no table of text holds."""

# Words that stand on top of columns, and hardly ever in them.
HEADINGS = frozenset(
    """text sentence sentence1 sentence2 label labels category class intent sentiment target topic review comment
    content message tweet title body description query question question1 question2 answer premise hypothesis
    utterance id guid uid index split score rating stars domain source lang language date time timestamp tokens tags
    ner_tags context summary document headline input output
    文本 内容 评论 句子 标题 正文 问题 语句 标签 类别 分类 情感 意图 类型 编号 序号 日期 时间 领域 来源""".split()
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a table is written: delimiter, quote mark (None: quotes mean nothing), number of columns."""

    delimiter: str
    quote: str | None
    columns: int

    @property
    def shown(self) -> str:
        """Return the delimiter's name."""
        return "none (one column)" if self.delimiter == ONE_COLUMN else DELIMITERS.get(self.delimiter, self.delimiter)


def parse(lines: Iterable[str], dialect: Dialect, *, strict: bool = True) -> Any:
    """Return csv's reader for a dialect."""
    if dialect.quote is None:
        return csv.reader(lines, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote, strict=strict)


def guess(lines: Sequence[str], suffix: str = "") -> Dialect:
    """Choose the delimiter whose records agree best on their number of columns, and whether quotes quote.

    `lines` are physical lines with their ends, the last one complete; `suffix` (".tsv") breaks ties.
    """
    best: tuple[float, Dialect] = (0.0, Dialect(ONE_COLUMN, '"', 1))
    for order, delimiter in enumerate(("\t", ",", ";", "|")):
        for quote in ('"', None):
            share, columns = _agreement(lines, Dialect(delimiter, quote, 0))
            if columns < 2 or share < 0.5:
                continue
            score = round(share, 2) - order * 1e-3 + (0.2 if suffix in (".tsv", ".tab") and delimiter == "\t" else 0)
            score += 5e-3 if quote else 0
            if score > best[0]:
                best = score, Dialect(delimiter, quote, columns)
    return best[1]


def _agreement(lines: Sequence[str], dialect: Dialect) -> tuple[float, int]:
    """Return the share of records that have the commonest number of columns, and that number."""
    counts: Counter[int] = Counter()
    wild = 0
    reader = parse(lines, dialect, strict=False)
    before = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error:
            wild += 1
            continue
        if row:
            counts[len(row)] += 1
            wild += max(0, reader.line_num - before - 50)  # a quote that swallows lines
        before = reader.line_num
    if not counts:
        return 0.0, 0
    columns, most = counts.most_common(1)[0]
    return most / (counts.total() + wild), columns


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether the first row names the columns: by known words, by types, by values that come again below."""
    if not rows:
        return False
    first, body = rows[0], rows[1:]
    names = [cell.strip().lower() for cell in first]
    filled = [name for name in names if name]
    known = sum(folded(name) in HEADINGS for name in filled)
    if not filled or len(set(filled)) < len(filled) or (known == 0 and any(_number(name) for name in filled)):
        return False
    if not body:
        return known > 0
    score = 3 * known
    for place, name in enumerate(first):
        below = [row[place] for row in body if place < len(row)]
        if not below:
            continue
        numbers = sum(map(_number, below)) / len(below)
        if numbers > 0.9:
            score += -2 if _number(name) else 2
        if name in below:
            score -= 3
        elif len(below) >= 10 and len(set(below)) <= 0.5 * len(below):
            score += 1
        mean = sum(map(len, below)) / len(below)
        if len(name) > 40:
            score -= 2
        elif mean > 15 and len(name) <= 24 and len(name) < 0.6 * mean:
            score += 1
    return score > 0


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def column_names(first: Sequence[Any] | None, columns: int) -> list[str]:
    """Return distinct names: those of the header where it has them, `column_1`, `column_2`, ... elsewhere.

    A header one name short of the rows (as R writes it) names all columns but the first.
    """
    given = ["" if cell is None else str(cell).strip() for cell in first or ()]
    if first is not None and len(given) == columns - 1:
        given.insert(0, "")
    given += [""] * (columns - len(given))
    names: list[str] = []
    for place, name in enumerate(given[:columns], 1):
        base = name or f"column_{place}"
        again = base
        number = 1
        while again in names:
            number += 1
            again = f"{base}_{number}"
        names.append(again)
    return names


def conll(text: str) -> bool:
    """Tell whether a text has one word a line with its tag behind it, and blank lines between sentences."""
    lines = text.splitlines()[:400]
    words = [line.split() for line in lines[:-1] if line.strip() and not line.startswith("-DOCSTART-")]
    if len(words) < 5 or len(words) == len(lines) - 1:  # no blank line among them
        return False
    tagged = sum(
        len(word) in range(2, 12)
        and bool(re.fullmatch(r"O|[BIESMLU][-_]\S+|[BIESMLU]|[A-Z]{1,4}\$?|[,.:`'()]+", word[-1]))
        for word in words
    )
    same = max(sum(len(word) == size for word in words) for size in {len(word) for word in words})
    return tagged > 0.9 * len(words) and same > 0.9 * len(words)


@dataclass(frozen=True, slots=True)
class Survey:
    """The shape of a whole file under a dialect.

    `starts` (N,) are the lines, from 1, where records begin, the header's among them; `faults` counts
    records with another number of columns and quotes that neither open, close nor double; `quotes` counts
    quote marks. `returns` counts carriage returns without a line feed: where there are any, other
    programs end lines in other places, and the rest means nothing.
    """

    starts: np.ndarray
    faults: int
    quotes: int
    returns: int


def survey(chunks: Iterable[bytes], dialect: Dialect) -> Survey:
    """Scan UTF-8 bytes once, in constant memory but for `starts`; exact where `faults` is 0."""
    state = _Surveyor(dialect)
    held = b""
    for chunk in chunks:
        block = held + chunk
        if len(block) > 1:
            state.take(block[:-1], block[1:])
            held = block[-1:]
        else:
            held = block
    if held:
        state.take(held, b"\n")
    return state.close()


class _Surveyor:
    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.mark = ord(dialect.delimiter)
        self.parity = self.returns = self.offset = self.lines = self.faults = self.quotes = self.fields = 0
        self.begin, self.begin_line = 0, 1
        self.before = 10
        self.last = 0
        self.starts: list[np.ndarray] = []

    def take(self, body: bytes, following: bytes) -> None:
        here, after = np.frombuffer(body, np.uint8), np.frombuffer(following, np.uint8)
        ends = np.flatnonzero(here == 10)
        marks = np.flatnonzero(here == self.mark)
        line_of = self.lines + np.arange(1, len(ends) + 1)
        self.returns += int(np.count_nonzero((here == 13) & (after != 10)))
        quotes = np.flatnonzero(here == 34)
        self.quotes += len(quotes)
        if self.dialect.quote is not None:
            prior = np.concatenate([[self.before], here[:-1]])
            closing = ((self.parity + np.arange(len(quotes))) & 1).astype(bool)
            beside = np.where(closing, after[quotes], prior[quotes])
            self.faults += int(np.count_nonzero(~np.isin(beside, (10, 13, 34, self.mark))))
            outside = ((self.parity + np.searchsorted(quotes, ends)) & 1) == 0
            marks = marks[((self.parity + np.searchsorted(quotes, marks)) & 1) == 0]
            self.lines += len(ends)
            ends, line_of = ends[outside], line_of[outside]
            self.parity = (self.parity + len(quotes)) & 1
        else:
            self.lines += len(ends)
        if len(ends):
            self._records(here, ends, line_of, marks)
        else:
            self.fields += len(marks)
        self.before = int(here[-1])
        self.offset += len(here)

    def _records(self, here: np.ndarray, ends: np.ndarray, line_of: np.ndarray, marks: np.ndarray) -> None:
        begins = np.concatenate([[self.begin - self.offset], ends[:-1] + 1])
        sizes = ends - begins
        prior = np.where(ends > 0, here[np.maximum(ends - 1, 0)], self.before)
        blank = (sizes == 0) | ((sizes == 1) & (prior == 13))
        upto = np.searchsorted(marks, ends)
        fields = np.diff(np.concatenate([[0], upto]))
        fields[0] += self.fields
        first = np.concatenate([[self.begin_line], line_of[:-1] + 1])
        self.faults += int(np.count_nonzero(~blank & (fields + 1 != self.dialect.columns)))
        self.starts.append(first[~blank])
        self.fields = len(marks) - int(upto[-1])
        self.begin = self.offset + int(ends[-1]) + 1
        self.begin_line = int(line_of[-1]) + 1

    def close(self) -> Survey:
        if self.begin < self.offset:
            self.starts.append(np.array([self.begin_line]))
            self.faults += self.fields + 1 != self.dialect.columns
        self.faults += self.parity
        starts = np.concatenate(self.starts) if self.starts else np.zeros(0, np.int64)
        return Survey(starts.astype(np.int64), self.faults, self.quotes, self.returns)
