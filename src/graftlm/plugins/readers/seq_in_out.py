"""Texts in seq.in, tags in seq.out and labels in label beside it, line for line: intents and slots (ATIS, SNIPS)."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, a_file
from graftlm.core import textfile
from graftlm.core.errors import DataError
from graftlm.core.textfile import Lines

_IN = "seq.in"
_BESIDE = {"tags": "seq.out", "label": "label"}


class SeqInOut(Reader):
    """Reads `text` from the file that was named, `tags` and `label` from those beside it, whichever there are."""

    source: ClassVar[str] = "the files of Goo et al. 2018 (slot-gated modeling), train/seq.in, seq.out and label"
    encoding: str | None = None
    """Encoding of all files; None: found out for each."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path) or not given.is_file() or textfile.binary(head):
            return 0.0
        return 0.95 if _beside(given) else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = a_file(given)
        found = _beside(given) if isinstance(given, Path) else {}
        if not found:
            raise DataError(f"{given}: expected a file called seq.in with seq.out or label beside it; got none.")
        files = {"text": given, **found}
        sides = {role: Lines(path, textfile.encoding(path, self.encoding).codec) for role, path in files.items()}
        faults = Faults(bad_rows)
        columns: dict[str, list[str]] = {role: [] for role in files}
        numbers: list[int] = []
        for number, row in enumerate(zip_longest(*sides.values()), 1):
            if None in row:
                short = list(files.values())[row.index(None)]
                raise DataError(
                    f"{' and '.join(map(str, files.values()))} must have the same number of lines; {short.name} has "
                    f"only {number - 1}. A line was lost or cut in two; get the files anew."
                )
            lines = [str(line).strip() for line in row]
            if not any(lines):
                continue
            where = f"{given}:{number}"
            if blank := [path.name for path, line in zip(files.values(), lines, strict=True) if not line]:
                faults.lost(where, f"the line is empty in {blank[0]}, and not in the other files")
                continue
            if wrong := next(filter(None, map(textfile.spoilt, lines)), None):
                if not faults.kept(where, wrong):
                    continue
                lines = [textfile.mended(line) for line in lines]
            for role, line in zip(files, lines, strict=True):
                columns[role].append(line)
            numbers.append(number)
        for role, side in sides.items():
            if side.fault:
                faults.lost(f"{files[role]}: after the last row", side.fault)
        table = pa.table({role: pa.array(column, pa.string()) for role, column in columns.items()})
        facts = {"form": f"a line each of {', '.join(path.name for path in files.values())}"}
        return Corpus(table, str(given), pa.array(numbers, pa.int64()), facts, **faults.drain())


def _beside(path: Path) -> dict[str, Path]:
    """Return the files of tags and labels beside one of texts, by what they hold."""
    if not path.name.endswith(_IN):
        return {}
    stem = path.name.removesuffix(_IN)
    found = {role: path.with_name(stem + name) for role, name in _BESIDE.items()}
    return {role: file for role, file in found.items() if file.is_file()}
