import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.core.dialect import Dialect, column_names, conll, guess, has_header, survey


def lines(text):
    return io.StringIO(text, newline="").readlines()


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ("text,label\nHello, world,x\n".replace("Hello, world", '"Hello, world"') * 3, ",", 2),
        ("a;b\n1;2,5\n3;4,5\n", ";", 2),
        ("text\tlabel\nHello, you, there\tx\nno commas\ty\n", "\t", 2),
        ("movie,genres\nToy,A|B|C\nHeat,A\nJumanji,B|C\n", ",", 2),
        ("one text\nanother, with a comma\na third\n", "\x1f", 1),
        ("文本,标签\n很好,好\n不好,差\n", ",", 2),
    ],
)
def test_the_delimiter_on_which_records_agree(text, delimiter, columns):
    dialect = guess(lines(text))
    assert (dialect.delimiter, dialect.columns) == (delimiter, columns)


@pytest.mark.parametrize(
    ("rows", "header"),
    [
        ([["text", "label"], ["a", "b"]], True),
        ([["内容", "标签"], ["很好", "好"]], True),
        ([["userId", "rating"], ["1", "4.0"], ["2", "3.5"]], True),
        ([["utt", "kind"], *[["a sentence of some length", "x"], ["another sentence of such length", "y"]] * 6], True),
        ([["one long string of cliches", "0"], ["if you like it a lot", "1"], ["it is so bad", "0"]], False),
        ([["3", "Fears for pension", "Unions"], ["4", "The race is on", "Space"]], False),
        ([["好", "很好的酒店"], ["差", "不会再来"], ["好", "干净"]], False),
        ([["text", "label"]], True),
        ([["a lonely text", "x"]], False),
        ([], False),
    ],
)
def test_whether_the_first_row_names_the_columns(rows, header):
    assert has_header(rows) is header


def test_column_names_are_distinct_and_never_empty():
    assert column_names(None, 2) == ["column_1", "column_2"]
    assert column_names(["a", "", "a"], 3) == ["a", "column_2", "a_2"]
    assert column_names(["a", "b"], 3) == ["column_1", "a", "b"]
    assert column_names(["a_2", "a", "a"], 3) == ["a_2", "a", "a_3"]


def test_conll_is_told_from_tables():
    assert conll("CRICKET NNP O\nat IN O\nLORD NNP I-ORG\n\nLondon NNP B-LOC\nis VB O\nbig JJ O\n")
    assert not conll("a text\tpos\nanother\tneg\n\nthird\tpos\n" * 5)
    assert not conll("text,tags\n" + "Anna lives here,B-PER O O\n" * 20)


cells = st.lists(st.text(alphabet=st.sampled_from(list('ab,"\n é')), max_size=5), min_size=2, max_size=2)


@given(rows=st.lists(cells, min_size=1, max_size=8), size=st.integers(1, 9), blanks=st.booleans())
def test_a_survey_finds_where_records_begin_however_the_bytes_come(rows, size, blanks):
    text, starts, line = "", [], 1
    for row in rows:
        stream = io.StringIO(newline="")
        csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
        starts.append(line)
        text += stream.getvalue() + ("\n" if blanks else "")
        line += stream.getvalue().count("\n") + blanks
    data = text.encode()
    found = survey([data[i : i + size] for i in range(0, len(data), size)], Dialect(",", '"', 2))
    np.testing.assert_array_equal(found.starts, starts)
    assert (found.faults, found.returns, found.quotes) == (0, 0, data.count(b'"'))


@pytest.mark.parametrize(
    ("data", "faults", "returns"),
    [
        (b"a,b\nc\n", 1, 0),
        (b'a,"b\n', 1, 0),
        (b'a,b"c"\n', 2, 0),
        (b'"a"x,b\n', 1, 0),
        (b"a,b\rc,d\n", 1, 1),
        (b"a,b\r\nc,d\r\n", 0, 0),
    ],
)
def test_a_survey_counts_what_is_not_sound(data, faults, returns):
    found = survey([data], Dialect(",", '"', 2))
    assert (found.faults > 0) == (faults > 0)
    assert found.returns == returns
