"""The fuzzer of the readers: some hundred cases of it, and that it sees what it looks for."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from graftlm.contracts.reader import Corpus
from graftlm.core.errors import UserError
from graftlm.plugins.readers.lines import PlainLines

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import fuzz_readers
    import mutants

    yield fuzz_readers, mutants
    for name in ("harness", "mutants", "fuzz_readers"):
        sys.modules.pop(name, None)


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::UserWarning")  # openpyxl's, about damaged workbooks
def test_some_hundred_damaged_files_are_read_or_refused(fuzz, tmp_path):
    pytest.importorskip("openpyxl")
    found = {"read": 0, "refused": 0}
    for number in range(500):
        case = fuzz[1].make(7, number, tmp_path)
        found[fuzz[0].one(case, random.Random(number))] += 1
    assert min(found.values()) > 100


def test_a_case_is_a_function_of_seed_and_number(fuzz, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, same = (fuzz[1].make(0, 12, tmp_path / name) for name in ("a", "b"))
    assert one.path.read_bytes() == same.path.read_bytes()
    assert one.damage == same.damage


def test_a_line_that_a_reader_loses_is_seen(fuzz, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nthree\n")
    whole = PlainLines.read

    def read(self, given, *, bad_rows="stop"):
        corpus = whole(self, given, bad_rows=bad_rows)
        return Corpus(corpus.table.slice(1), corpus.source, corpus.lines.slice(1), corpus.facts)

    case = fuzz[1].Case(path, "lines", ())
    assert fuzz[0].one(case, random.Random(0)) == "read"
    corpus = read(PlainLines(), path)
    with pytest.raises(fuzz[0].Lost, match=r"line 1 \('one'\) is neither a row nor named"):
        fuzz[0]._told(case, PlainLines(), corpus, "stop")
    monkeypatch.setattr(PlainLines, "read", read)
    with pytest.raises(fuzz[0].Lost, match="2 rows as a whole, 3 in pieces"):
        fuzz[0]._in_pieces(PlainLines(), path, PlainLines().read(path), "stop")


def test_tracebacks_and_hangs_are_counted(fuzz, monkeypatch, tmp_path):
    with pytest.raises(fuzz[0].Lost, match="a message of 3 characters"):
        fuzz[0]._said(UserError("no."))
