import io

import pytest

from graftlm.core.errors import DataError
from graftlm.core.textfile import Piped
from graftlm.plugins.readers.lines import PlainLines


def test_each_line_is_a_text_and_blank_lines_are_none(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("one, two\r\n\r\n很好\r\n  kept  \r\n".encode())
    corpus = PlainLines().read(path)
    assert corpus.table.to_pylist() == [{"text": "one, two"}, {"text": "很好"}, {"text": "  kept  "}]
    assert corpus.lines.to_pylist() == [1, 3, 4]


def test_encoding_is_found_out(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("服务很好\n房间太小".encode("gb18030"))
    corpus = PlainLines().read(path)
    assert corpus.table.column("text").to_pylist() == ["服务很好", "房间太小"]
    assert corpus.facts["encoding"] == "GB18030"


def test_broken_lines_follow_the_policy(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"good\nb\0d\nfine\n")
    with pytest.raises(DataError, match="texts.txt:2: a NUL byte at character 2"):
        PlainLines().read(path)
    assert PlainLines().read(path, bad_rows="skip").table.column("text").to_pylist() == ["good", "fine"]
    assert PlainLines().read(path, bad_rows="keep").table.column("text").to_pylist() == ["good", "b\ufffdd", "fine"]


def test_nothing_is_refused(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n")
    with pytest.raises(DataError, match="the file is empty"):
        PlainLines().read(path)


def test_a_pipe_comes_in_pieces(monkeypatch):
    monkeypatch.setattr("graftlm.plugins.readers.lines.PIECE_ROWS", 2)
    pieces = list(PlainLines().pieces(Piped(io.BytesIO(b"a\nb\nc\n"))))
    assert [piece.table.num_rows for piece in pieces] == [2, 1]
    assert pieces[1].where(0) == "standard input:3"
