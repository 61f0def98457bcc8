"""Two text files side by side, train.en and train.de: line for line the same in two languages, gzipped or not."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from graftlm.contracts.reader import BadRows, Corpus, Faults, Reader, a_file
from graftlm.core import textfile
from graftlm.core.errors import DataError, listing
from graftlm.core.textfile import Lines

CODES = frozenset(
    "af am ar as az be bg bn bo bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id "
    "is it ja jv ka kk km kn ko ky la lb lo lt lv mg mi mk mn mr ms mt my nb ne nl nn no or pa pl ps pt "
    "ro ru sa sd si sk sl sq sr su sv sw ta te tg th tk tl tr tt ug uk ur uz vi yi yo zh zu".split()
)
"""Two-letter codes of languages (ISO 639-1) that stand behind a file's last dot."""


class Parallel(Reader):
    """Reads `source` from the file that was named and `target` from the one beside it."""

    source: ClassVar[str] = "the form of the corpora of the Conferences on Machine Translation (WMT), and of Moses"
    encoding: str | None = None
    """Encoding of both files; None: found out for each."""
    into: str | None = None
    """Language of the target's file, its ending; None: the only other one that stands beside the source's."""

    def claims(self, given: Any, head: bytes) -> float:
        if not isinstance(given, Path) or not given.is_file() or textfile.binary(head):
            return 0.0
        return 0.9 if _language(given) and _beside(given) else 0.0

    def read(self, given: Any, *, bad_rows: BadRows = "stop") -> Corpus:
        given = a_file(given)
        other = self._other(given)
        faults = Faults(bad_rows)
        sides = [Lines(path, textfile.encoding(path, self.encoding).codec) for path in (given, other)]
        columns: tuple[list[str], list[str]] = ([], [])
        numbers: list[int] = []
        number = 0
        for number, pair in enumerate(zip_longest(*sides), 1):
            if None in pair:
                short = (given, other)[pair.index(None)]
                raise DataError(
                    f"{given} and {other} must have the same number of lines; {short.name} has only {number - 1}. A "
                    "line was lost or cut in two; get the files anew."
                )
            lines = [str(line).rstrip("\r\n") for line in pair]
            if not any(line.strip() for line in lines):
                continue
            where = f"{given}:{number}"
            blank = [path.name for path, line in zip((given, other), lines, strict=True) if not line.strip()]
            if blank:
                faults.lost(where, f"the line is empty in {blank[0]}, and not in the other file")
                continue
            if wrong := next(filter(None, map(textfile.spoilt, lines)), None):
                if not faults.kept(where, wrong):
                    continue
                lines = [textfile.mended(line) for line in lines]
            for column, line in zip(columns, lines, strict=True):
                column.append(line)
            numbers.append(number)
        for path, side in zip((given, other), sides, strict=True):
            if side.fault:
                faults.lost(f"{path}: after the last row", side.fault)
        table = pa.table(
            {name: pa.array(c, pa.string()) for name, c in zip(("source", "target"), columns, strict=True)}
        )
        facts = {"form": f"a line each of {given.name} and {other.name}"}
        return Corpus(table, str(given), pa.array(numbers, pa.int64()), facts, **faults.drain())

    def _other(self, given: Any) -> Path:
        """Return the file of the other language.

        Raises:
            DataError: there is none, or there are several.
        """
        found = _beside(given) if isinstance(given, Path) else {}
        if self.into is not None and self.into in found:
            return found[self.into]
        if self.into is None and len(found) == 1:
            return next(iter(found.values()))
        if not found:
            raise DataError(
                f"{given}: expected a file of the same name beside it that ends in another language's code."
            )
        raise DataError(
            f"{given}: beside it stand {listing(sorted(path.name for path in found.values()))}"
            f"{'' if self.into is None else f', none in {self.into!r}'}. Name the language to write: "
            f"--set data.reader='{{use: parallel, into: {min(found)}}}'."
        )


def _language(path: Path) -> str | None:
    """Return the code of a language that a file's name ends in, before ".gz"."""
    found = re.search(r"\.([a-z]{2})(?:[-_][A-Za-z]{2,4})?$", path.name.removesuffix(".gz"))
    return found[0][1:] if found and found[1] in CODES else None


def _beside(path: Path) -> dict[str, Path]:
    """Return the files of the same name in other languages, by language."""
    own = _language(path)
    if own is None:
        return {}
    stem = path.name.removesuffix(".gz").removesuffix(own)
    alike = [other for other in sorted(path.parent.iterdir()) if other.name.startswith(stem) and other.is_file()]
    found = {
        _language(other): other for other in alike if other.name.removesuffix(".gz") == f"{stem}{_language(other)}"
    }
    return {code: other for code, other in found.items() if code is not None and code != own}
