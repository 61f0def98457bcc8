"""Damaged files of every format through the readers: no traceback, no hang, no row lost without a word.

Each case is read by the reader that claims it (sometimes by one that was named), under one of the three policies, whole
and in pieces, and some through the whole of `graft check`. What must hold: a message of one error class or rows;
pieces give the same rows as the whole; read = kept + skipped; no kept text holds a NUL or half a character; in files of
lines each line that is not blank is a row, a header, part of a row, or named among the skipped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import harness
import mutants

NAME = "fuzz_readers"
POLICIES = ("stop", "skip", "keep")


class Lost(Exception):
    """A reader broke a promise: rows that differ, counts that do not add up, a line of which nothing is told."""


def one(case: mutants.Case, rng: random.Random) -> str:
    """Read a case; return "read" or "refused".

    Raises:
        Lost: something that must hold does not.
    """
    from graftlm.core import registry
    from graftlm.core.errors import UserError
    from graftlm.stages.reading.sources import find

    policy: Any = rng.choice(POLICIES)
    named = rng.choice(("csv", "jsonl", "json", "lines", "parquet", "xlsx", "text_folder"))
    reader = registry.make("reader", named) if rng.random() < 0.15 else None
    try:
        reader, given = find(str(case.path), reader)
        corpus = reader.read(given, bad_rows=policy)
    except UserError as fault:
        _said(fault)
        _through(case, policy, rng)
        return "refused"
    _sound(corpus)
    _in_pieces(reader, given, corpus, policy)
    if case.path.is_file() and reader.name() in ("csv", "jsonl", "json", "lines"):
        _piped(reader, case.path, policy)
    if reader.name() in ("lines", "jsonl", "csv") and case.path.is_file():
        _told(case, reader, corpus, policy)
    _through(case, policy, rng)
    return "read"


def _said(fault: Exception) -> None:
    text = str(fault)
    if len(text) < 20 or "Traceback" in text or len(text) > 4000:
        raise Lost(f"a message of {len(text)} characters: {text[:200]!r}")
    text.encode("utf-8", "strict")


def _sound(corpus: Any) -> None:
    from graftlm.core import textfile

    corpus.table.validate(full=True)
    if corpus.lines is not None and len(corpus.lines) != corpus.table.num_rows:
        raise Lost(f"{corpus.table.num_rows} rows, {len(corpus.lines)} places")
    for name in corpus.table.column_names:
        for value in corpus.table.column(name).to_pylist():
            if isinstance(value, str) and textfile.spoilt(value):
                raise Lost(f"a kept text is spoilt: {value[:60]!r}")
    for fault in (*corpus.skipped, *corpus.mended):
        if not fault.where.startswith(corpus.source) or not fault.reason:
            raise Lost(f"a skipped row without its place: {fault}")
        json.dumps(fault.as_json(), ensure_ascii=False).encode()


def _in_pieces(reader: Any, given: Any, corpus: Any, policy: str) -> None:
    """Hold that small pieces and small blocks give the same rows, and Arrow's parser the same as record by record."""
    module = sys.modules[type(reader).__module__]
    small = {"PIECE_ROWS": 7, "_BLOCK": 1 << 9}
    before = {name: getattr(module, name) for name in small if hasattr(module, name)}
    try:
        for name in before:
            setattr(module, name, small[name])
        pieces = list(reader.pieces(given, bad_rows=policy))
    finally:
        for name, value in before.items():
            setattr(module, name, value)
    for piece in pieces:
        _sound(piece)
    if _rows(pieces) != _rows([corpus]):
        raise Lost(f"{corpus.read} rows as a whole, {sum(piece.read for piece in pieces)} in pieces, or other ones")
    if reader.name() == "csv" and corpus.read < 1000:
        from graftlm.contracts.reader import Faults

        form = reader._form(given, policy)
        slowly = list(module._by_record(given, form, Faults(policy), 0))
        if _rows(slowly) != _rows([corpus]):
            raise Lost("Arrow's parser and reading record by record give other rows")


def _rows(pieces: Any) -> list[Any]:
    """Return what pieces hold together, in values that do not depend on the types of each piece."""
    from graftlm.contracts.reader import plain

    found: list[Any] = []
    for piece in pieces:
        names = piece.table.column_names
        values = [list(map(plain, piece.table.column(place).to_pylist())) for place in range(len(names))]
        lines = piece.lines.to_pylist() if piece.lines is not None else [None] * piece.table.num_rows
        for line, *row in zip(lines, *values, strict=True):
            found.append((line, {name: value for name, value in zip(names, row, strict=True) if value is not None}))
        found += [fault.where for fault in piece.skipped]
    return sorted(found, key=str)


def _piped(reader: Any, path: Path, policy: Any) -> None:
    """Take the same bytes through a pipe, whose encoding is judged by its beginning alone."""
    from graftlm.core.errors import UserError
    from graftlm.core.textfile import Piped

    with path.open("rb") as handle:
        try:
            for piece in reader.pieces(Piped(handle), bad_rows=policy):
                _sound(piece)
        except UserError as fault:
            _said(fault)


def _told(case: mutants.Case, reader: Any, corpus: Any, policy: str) -> None:
    """Hold that every physical line is accounted for."""
    from graftlm.core import textfile

    encoding = textfile.encoding(case.path, getattr(reader, "encoding", None))
    source = textfile.Lines(case.path, encoding.codec)
    blank = " \t\r\n\x0b\x0c" if reader.name() == "csv" else None
    lines = [line.strip(blank) for line in source]
    filled = {number for number, line in enumerate(lines, 1) if line}
    told: dict[int, int] = {}  # line: how many lines from there on belong to it
    table = corpus.table
    starts = corpus.lines.to_pylist()
    if len(set(starts)) != len(starts):
        raise Lost("two rows from one line")
    for row, line in enumerate(starts):
        told[line] = 1
        if reader.name() == "csv":
            cells = [table.column(place)[row].as_py() for place in range(table.num_columns)]
            told[line] += sum(len(re.findall(r"\r\n|\r|\n", cell)) for cell in cells if isinstance(cell, str))
        elif corpus.facts.get("form") == "objects over several lines":
            later = [other for other in (*starts, *_lines(corpus.skipped)) if other > line]
            told[line] = min(later, default=len(lines) + 1) - line
    for line in _lines(corpus.skipped):
        if line in told:
            raise Lost(f"line {line} is kept and skipped")
        told[line] = 1
        if corpus.facts.get("form") == "objects over several lines":
            later = [other for other in (*starts, *_lines(corpus.skipped)) if other > line]
            told[line] = min(later, default=len(lines) + 1) - line
    for fault in (*corpus.skipped, *corpus.mended):
        if found := re.search(r", in lines (\d+) to (\d+)$", fault.reason):
            told[int(found[1])] = int(found[2]) - int(found[1]) + 1
    covered = {line + more for line, size in told.items() for more in range(size)}
    missing = sorted(filled - covered)
    if reader.name() == "csv" and corpus.facts["header"] == "first row" and missing:
        first = min(filled)
        behind = [line for line in covered if line > first]
        missing = [line for line in missing if line > min(behind, default=len(lines) + 1)]
    cut_off = any("after the last row" in fault.where for fault in corpus.skipped) or source.fault
    if cut_off and missing:
        missing = [line for line in missing if line < len(lines)]
    mended = {int(found[1]) for fault in corpus.mended if (found := re.search(r":(\d+)$", fault.where))}
    if missing and policy == "keep" and mended:
        missing = [line for line in missing if line < min(mended)]  # a mended record may have been cut short
    if missing:
        shown = lines[missing[0] - 1][:80]
        raise Lost(f"line {missing[0]} ({shown!r}) is neither a row nor named; {len(missing)} such lines")


def _lines(faults: Any) -> list[int]:
    return [int(found[1]) for fault in faults if (found := re.search(r":(\d+)$", fault.where))]


def _through(case: mutants.Case, policy: Any, rng: random.Random) -> None:
    """Take some cases through what stands behind the readers: a stream for answering, a whole check."""
    from graftlm.core import registry
    from graftlm.core.errors import UserError
    from graftlm.stages import reading

    chance = rng.random()
    try:
        if chance < 0.2:
            task = registry.make("task", "classification")
            for chunk in reading.stream(str(case.path), task, bad_rows=policy, on_fault=lambda fault: None):
                for example in chunk:
                    if not isinstance(example.fields["text"], str | list | dict | None):
                        raise Lost(f"a text that is none: {example.fields['text']!r}")
        elif chance < 0.4:
            from graftlm.verbs.checking import check

            found = check(str(case.path), settings=[f"data.bad_rows={policy}"])
            json.dumps(found.as_json(), ensure_ascii=False).encode()
            if any(finding.code == "counts" for finding in found.findings):
                raise Lost("the counts of graft check do not add up")
    except UserError as fault:
        _said(fault)


def work(seed: int, first: int, last: int, limit: float, pipe: Any) -> None:
    """Run cases [first, last) and send a line about each."""
    import logging

    logging.getLogger("graftlm").setLevel(logging.CRITICAL)

    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, late)
    for number in range(first, last):
        folder = Path(tempfile.mkdtemp(prefix="graftlm-fuzz-"))
        pipe.send((number, "begin", "", ""))
        case = None
        try:
            case = mutants.make(seed, number, folder)
            signal.setitimer(signal.ITIMER_PROF, limit)
            outcome, detail = one(case, random.Random(f"{seed}/{number}/how")), ""  # noqa: S311
        except TimeoutError:
            outcome, detail = "hang", traceback.format_exc(limit=-4)
        except Lost as fault:
            outcome, detail = "lost", str(fault)
        except BaseException:  # every traceback is a finding, whatever its class
            outcome, detail = "traceback", traceback.format_exc(limit=-4)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        about = f"{case.form}, {case.path.suffix or 'no suffix'}: {', '.join(case.damage)}" if case else ""
        pipe.send((number, outcome, detail, about))
        shutil.rmtree(folder, ignore_errors=True)
    pipe.send((last, "end", "", ""))


def fuzz(seed: int, cases: int, limit: float = 10.0, first: int = 0) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Run cases in a process of their own, started anew behind a case that kills it; return counts and findings."""
    counts: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    at, end = first, first + cases
    while at < end:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=work, args=(seed, at, end, limit, theirs))
        process.start()
        theirs.close()
        told = at - 1
        while True:
            try:
                if not ours.poll(60 + 20 * limit):  # waits for what takes no processor time at all
                    outcome, detail, about = "hang", "no answer from the process", ""
                    number = at
                    process.kill()
                else:
                    number, outcome, detail, about = ours.recv()
            except EOFError:
                number, outcome, detail, about = at, "crash", "the process died", ""
            if outcome == "begin":
                at = number
                continue
            if outcome == "end":
                at = end
                break
            counts[outcome] += 1
            told = number
            if outcome not in ("read", "refused"):
                found.append({"case": number, "outcome": outcome, "about": about, "detail": detail})
                harness.say(f"case {number} ({about}): {outcome}: {detail.strip().splitlines()[-1][:300]}")
            if (number + 1) % 1000 == 0:
                harness.say(f"{number + 1}: {dict(counts)}")
            if outcome == "crash" or detail == "no answer from the process":
                at = told + 1
                break
        process.join(5)
        if process.is_alive():
            process.kill()
    return counts, found


def main() -> None:
    """Fuzz and report."""
    parser = harness.options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", type=int, default=20_000, help="files to make and read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to see one again")
    parser.add_argument("--limit", type=float, default=10.0, help="processor seconds after which a case hangs")
    given = parser.parse_args()
    began, clock = harness.machine(given.threads), time.monotonic()
    counts, found = fuzz(given.seed, given.cases, given.limit, given.first)
    bad = {name: counts[name] for name in ("traceback", "hang", "crash", "lost")}
    summary = {
        "cases": sum(counts.values()), "read": counts["read"], "refused": counts["refused"],
        "tracebacks": bad["traceback"] + bad["crash"], "hangs": bad["hang"], "lost": bad["lost"],
        "seconds": round(time.monotonic() - clock, 1),
    }  # fmt: skip
    harness.report(
        NAME, given, began, complete=given.cases >= 20_000, summary=summary,
        checks=[
            harness.check("cases", summary["cases"], reach=20_000),
            *(harness.check(f"fuzzing of the readers: {name}", summary[name], reach=0, least=False)
              for name in ("tracebacks", "hangs", "lost")),
        ],
        runs={"findings": found},
    )  # fmt: skip


if __name__ == "__main__":
    harness.start({}, main)
