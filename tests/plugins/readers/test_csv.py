import csv
import gzip
import importlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftlm.contracts.reader import Faults, join
from graftlm.core.errors import DataError
from graftlm.core.textfile import Piped
from graftlm.plugins.readers.csv import Csv

module = importlib.import_module("graftlm.plugins.readers.csv")
BODY = [
    ["I lost my card, again", "card_lost"],
    ['She said "no" to me', "other"],
    ["two\nlines of text", "card_lost"],
] * 4


def written(folder: Path, rows, name="data.csv", encoding="utf-8", ends="\n", zipped=False, **form) -> Path:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=ends, **form).writerows(rows)
    path = folder / name
    data = stream.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("zipped", [False, True])
def test_finds_delimiter_ends_and_gzip(tmp_path, delimiter, ends, zipped):
    name = "data.csv.gz" if zipped else "data.csv"
    form = {"delimiter": delimiter, "quoting": csv.QUOTE_ALL if ends == "\r" else csv.QUOTE_MINIMAL}
    path = written(tmp_path, [["text", "label"], *BODY], name, ends=ends, zipped=zipped, **form)
    corpus = Csv().read(path)
    assert corpus.table.column_names == ["text", "label"]
    assert corpus.table.to_pylist() == [{"text": text, "label": label} for text, label in BODY]
    names = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}
    assert corpus.facts == {
        "encoding": "UTF-8",
        "delimiter": names[delimiter],
        "quoting": "double quotes",
        "header": "first row",
    }


@pytest.mark.parametrize(
    ("encoding", "name", "texts"),
    [
        ("utf-8", "UTF-8", ["房间很干净，服务也好", "再也不会来了"]),
        ("utf-8-sig", "UTF-8 with BOM", ["房间很干净，服务也好", "再也不会来了"]),
        ("utf-16", "UTF-16", ["房间很干净，服务也好", "再也不会来了"]),
        ("gb18030", "GB18030", ["房间很干净，服务也好", "再也不会来了"]),
        ("latin-1", "Latin-1", ["Das Zimmer war schön und groß", "très déçu"]),
        ("cp1252", "Windows-1252", ["It’s “fine” – très déçu", "Zimmer schön"]),
    ],
)
def test_finds_the_encoding_and_says_it(tmp_path, encoding, name, texts):
    rows = [[text, label] for text, label in zip(texts * 6, ["好", "差"] * 6 if encoding[:2] in ("ut", "gb") else
            ["good", "bad"] * 6, strict=True)]  # fmt: skip
    corpus = Csv().read(written(tmp_path, [["text", "label"], *rows], encoding=encoding))
    assert corpus.facts["encoding"] == name
    assert [list(row.values()) for row in corpus.table.to_pylist()] == rows


def test_a_table_without_header_gets_numbered_columns(tmp_path):
    rows = [["3", "Fears for pension", "Unions say they are disappointed"], ["4", "The race is on", "Space"]] * 6
    corpus = Csv().read(written(tmp_path, rows, quoting=csv.QUOTE_ALL))
    assert corpus.table.column_names == ["column_1", "column_2", "column_3"]
    assert corpus.table.num_rows == 12
    assert corpus.facts["header"] == "none: columns are numbered"


def test_an_unquoted_table_may_hold_quotes(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text('text\tlabel\n"unbalanced is fine\tpos\n5" screen\tneg\nplain\tpos\n' * 1, encoding="utf-8")
    corpus = Csv().read(path)
    assert corpus.facts["quoting"] == "none"
    assert corpus.table.column("text").to_pylist() == ['"unbalanced is fine', '5" screen', "plain"]


def test_lines_count_the_newlines_inside_values_and_blank_lines(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('text,label\n"a\nb",x\n\nc,y\n"d\n\ne",x\nf,y\n', encoding="utf-8")
    corpus = Csv().read(path)
    assert corpus.lines.to_pylist() == [2, 5, 6, 9]
    assert corpus.where(3) == f"{path}:9"


def test_options_overrule_what_would_be_found(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("a~b\nc~d\n".encode("gb18030"))
    corpus = Csv(delimiter="~", header=False, encoding="gb18030").read(path)
    assert corpus.table.to_pylist() == [{"column_1": "a", "column_2": "b"}, {"column_1": "c", "column_2": "d"}]


def test_a_delimiter_outside_ascii_may_be_named(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text、label\n很好、好\n不好、差\n", encoding="utf-8")
    assert Csv(delimiter="、").read(path).table.to_pylist()[1] == {"text": "不好", "label": "差"}


FAULTY = {
    "ragged": (b"text,label\ngood one,pos\nbad, bad, bad,neg\nfine,pos\n", 3, "expected 2 columns", ["bad", " bad"]),
    "short": (b"text,label\ngood one,pos\nonly\nfine,pos\n", 3, "found 1 column", ["only", None]),
    "nul": (b"text,label\ngood one,pos\nb\0d,neg\nfine,pos\n", 3, "a NUL byte", ["b\ufffdd", "neg"]),
    "utf8": ("text,label\ngüt,pos\nbàd,neg\nfine,pos\n".encode().replace(b"b\xc3\xa0d", b"b\xff\xfed"), 3,
             "bytes that the file's encoding does not have (0xff 0xfe)", ["b\ufffdd", "neg"]),
    "surrogate": ("text,label\ngüt,pos\n".encode() + b"b\xed\xa0\x80d,neg\n" + "fiñe,pos\n".encode(), 3,
                  "bytes that", ["b\ufffdd", "neg"]),
    "unclosed": (b'text,label\n"good one",pos\n"bad,neg\nfine,pos\n', 3, "a quote is opened and never closed",
                 ["bad", "neg"]),
    "undoubled": (b'text,label\n"good one",pos\n"a "bad" one",neg\n"fine",pos\n', 3, "the quotes do not match",
                  ['a bad" one"', "neg"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
def test_a_broken_row_stops_is_skipped_or_is_kept_in_part(tmp_path, name):
    data, line, reason, kept = FAULTY[name]
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        Csv(header=True).read(path)
    assert f"{path}:{line}: " in str(caught.value)
    assert reason in str(caught.value)
    assert "data.bad_rows" in str(caught.value)

    corpus = Csv(header=True).read(path, bad_rows="skip")
    assert [fault.where for fault in corpus.skipped] == [f"{path}:{line}"]
    assert reason in corpus.skipped[0].reason
    assert (corpus.read, corpus.table.num_rows) == (3, 2)
    assert corpus.lines.to_pylist() == [2, 4]

    corpus = Csv(header=True).read(path, bad_rows="keep")
    assert corpus.read == corpus.table.num_rows == 3
    assert list(corpus.table.to_pylist()[1].values()) == kept
    assert [fault.where for fault in corpus.mended] == [f"{path}:{line}"]
    assert not corpus.skipped


def test_a_truncated_gzip_keeps_the_rows_before_the_break(tmp_path):
    import random

    draw = random.Random(3)
    rows = [[f"text {draw.random()}", "pos"] for _ in range(5000)]
    whole = written(tmp_path, [["text", "label"], *rows], "data.csv.gz", zipped=True).read_bytes()
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="end too soon"):
        Csv().read(path)
    corpus = Csv().read(path, bad_rows="skip")
    assert 1000 < corpus.table.num_rows < 4000
    assert len(corpus.skipped) == 1
    assert corpus.table.to_pylist()[-1]["text"] == rows[corpus.table.num_rows - 1][0]


@pytest.mark.parametrize(
    ("data", "what"),
    [(b"PK\x03\x04" + bytes(99), "a ZIP archive"), (b"%PDF-1.7 \n", "a PDF"), (bytes(range(256)) * 40, "binary data")],
)
def test_a_binary_file_is_refused(tmp_path, data, what):
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"expected text, but the file is {what}"):
        Csv().read(path)


def test_a_text_longer_than_a_block_and_than_the_limit_of_csv(tmp_path):
    long = "word, " * 500_000
    corpus = Csv().read(written(tmp_path, [["text", "label"], ["short", "a"], [long, "b"], ["end", "a"]]))
    assert corpus.table.column("text").to_pylist() == ["short", long, "end"]
    assert corpus.lines.to_pylist() == [2, 3, 4]


def test_a_pipe_is_read_once_from_its_beginning():
    text = "text,label\n" + "".join(f"text number {i},{i % 2}\n" for i in range(30_000))
    corpus = Csv().read(Piped(io.BytesIO(text.encode())))
    assert corpus.table.num_rows == 30_000
    assert corpus.table.column("text")[29_999].as_py() == "text number 29999"
    assert corpus.where(0) == "standard input:2"


cell = st.text(alphabet=st.sampled_from(list("ab ,;|\t\"\n'é中😀")), max_size=6)


def both(path: Path, reader: Csv):
    """Return what either way of reading gives, where the whole file is sound."""
    form = reader._form(path)
    if form.starts is None:
        return None
    slow = join(module._by_record(path, form, Faults("stop"), 0))
    try:
        fast = join(module._by_arrow(path, form))
    except module.pa.ArrowInvalid:  # read() goes the other way then
        return None
    return fast, slow


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), min_size=2, max_size=9)),
    delimiter=st.sampled_from(",\t;|"),
    ends=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_both_ways_give_what_was_written(tmp_path, rows, delimiter, ends, quoting):
    one = len(rows[0]) == 1
    path = written(tmp_path, rows, ends=ends, delimiter=delimiter, quoting=quoting)
    reader = Csv(delimiter="\x1f" if one else delimiter, quote='"', header=False)
    found = both(path, reader)
    slow = reader.read(path)
    wanted = [row for row in rows]
    assert [list(row.values()) for row in slow.table.to_pylist()] == wanted
    if found is not None:
        assert found[0].table.to_pylist() == found[1].table.to_pylist()
        assert found[0].lines.to_pylist() == found[1].lines.to_pylist()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(alphabet=st.sampled_from(list('ab,"\n\r é')), min_size=1, max_size=40),
    quote=st.sampled_from(['"', ""]),
)
def test_both_ways_agree_on_any_text(tmp_path, text, quote):
    path = tmp_path / "any.csv"
    path.write_bytes(text.encode())
    reader = Csv(delimiter=",", quote=quote, header=False)
    if not text.strip("\r\n"):
        with pytest.raises(DataError, match="empty"):
            reader.read(path)
        return
    found = both(path, reader)
    if found is not None:
        assert found[0].table.to_pylist() == found[1].table.to_pylist()
        assert found[0].lines.to_pylist() == found[1].lines.to_pylist()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=60), policy=st.sampled_from(["skip", "keep"]))
def test_any_bytes_are_read_or_counted(tmp_path, data, policy):
    path = tmp_path / "any.csv"
    path.write_bytes(b"text,label\nfine,pos\n" + b"very,fine\n" * 200 + data)
    corpus = Csv(header=True).read(path, bad_rows=policy)
    assert corpus.read == corpus.table.num_rows + len(corpus.skipped)
    assert len(corpus.lines) == corpus.table.num_rows


def test_a_sound_file_takes_the_quick_way_in_any_encoding(tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("read record by record")

    monkeypatch.setattr(module, "_by_record", never)
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        rows = [["text", "label"], *[["很好，\n真的", "好"], ["不好", "差"]] * 5]
        corpus = Csv().read(written(tmp_path, rows, encoding=encoding))
        assert corpus.table.num_rows == 10
        assert corpus.lines.to_pylist()[:3] == [2, 4, 5]


def test_when_arrow_gives_up_midway_reading_goes_on_where_it_stopped(tmp_path, monkeypatch):
    rows = [[f"text {i}", str(i % 3)] for i in range(100)]
    path = written(tmp_path, [["text", "label"], *rows])
    whole = Csv().read(path)

    def some(given, form):
        yield join([module._piece([["text 0", "0"], ["text 1", "1"]], [2, 3], given, form, Faults("stop"))])
        raise module.pa.ArrowInvalid("straddling object")

    monkeypatch.setattr(module, "_by_arrow", some)
    again = Csv().read(path)
    assert again.table.to_pylist() == whole.table.to_pylist()
    assert again.lines.to_pylist() == whole.lines.to_pylist()


def test_a_carriage_return_at_the_end_of_a_block_keeps_its_line_feed(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module(Csv.__module__), "_BLOCK", 64)
    path = tmp_path / "a.csv"
    for shift in range(64):
        path.write_bytes(b"text,label\r\n" + b"x" * shift + b'y,a\r\n"a\r\nb",b\r\n' + b'"c\r\nd",b\r\n' * 9)
        assert Csv(quote='"').read(path).table.column("text").to_pylist()[1:] == ["a\r\nb", *["c\r\nd"] * 9]
