import gzip
import io
import json

import pytest

from graftlm.core.errors import DataError
from graftlm.core.textfile import Piped
from graftlm.plugins.readers.jsonl import JsonLines

ROWS = [{"text": "很好 😀", "label": 1}, {"text": "bad", "label": 0, "tags": ["a", "b"]}]


def test_reads_lines_with_their_types_and_places(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", encoding="utf-8")
    corpus = JsonLines().read(path)
    assert corpus.table.to_pylist() == [{**ROWS[0], "tags": None}, ROWS[1]]
    assert corpus.where(1) == f"{path}:2"
    assert corpus.facts == {"encoding": "UTF-8", "form": "one object a line"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_other_encodings_and_gzip(tmp_path, encoding):
    rows = [{"text": "服务很好，下次再来", "label": "好"}] * 5
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode(encoding)))
    assert JsonLines().read(path).table.to_pylist() == rows


def test_objects_over_several_lines(tmp_path):
    path = tmp_path / "data.json"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False, indent=2) for row in ROWS), encoding="utf-8")
    head = path.read_bytes()
    assert JsonLines().claims(path, head) > 0.7
    corpus = JsonLines().read(path)
    assert corpus.table.column("text").to_pylist() == ["很好 😀", "bad"]
    assert corpus.lines.to_pylist() == [1, 5]


def test_values_of_several_types_become_text(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"label": 1}\n{"label": "one"}\n{"label": 2.0}\n{"label": true}\n{"label": null}\n')
    assert JsonLines().read(path).table.column("label").to_pylist() == ["1", "one", "2", "true", None]


def test_pieces_whose_types_differ_go_together(tmp_path, monkeypatch):
    monkeypatch.setattr("graftlm.plugins.readers.jsonl.PIECE_ROWS", 2)
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": "x", "b": [1]}\n{"a": null}\n{"b": [2, 3]}\n')
    corpus = JsonLines().read(path)
    assert corpus.table.column("a").to_pylist() == ["1", "2", "x", None, None]
    assert corpus.lines.to_pylist() == [1, 2, 3, 4, 5]


FAULTY = {
    "half": (b'{"text": "a"}\n{"text": "b\n{"text": "c"}\n', "this is not JSON", None),
    "list": (b'{"text": "a"}\n["b"]\n{"text": "c"}\n', "expected a JSON object", None),
    "surrogate": (
        b'{"text": "a"}\n{"text": "b\\ud83d"}\n{"text": "c"}\n',
        "half of a surrogate pair (U+D83D)",
        "b\ufffd",
    ),
    "bytes": ('{"text": "é"}\n{"text": "b?"}\n{"text": "ü"}\n'.encode().replace(b"?", b"\xff"), "0xff", "b\ufffd"),
    "nul": (b'{"text": "a"}\n{"text": "b\0"}\n{"text": "c"}\n', "a NUL byte", "b\ufffd"),
    "escaped nul": (b'{"text": "a"}\n{"text": "b\\u0000"}\n{"text": "c"}\n', "a NUL byte", "b\ufffd"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_broken_row_stops_is_skipped_or_is_kept_in_part(tmp_path, name):
    data, reason, kept = FAULTY[name]
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        JsonLines().read(path)
    assert f"{path}:2: " in str(caught.value)
    assert reason in str(caught.value)
    corpus = JsonLines().read(path, bad_rows="skip")
    assert (corpus.read, corpus.table.num_rows, len(corpus.skipped)) == (3, 2, 1)
    corpus = JsonLines().read(path, bad_rows="keep")
    assert corpus.read == 3
    if kept is None:  # nothing of such a row can be kept
        assert [fault.where for fault in corpus.skipped] == [f"{path}:2"]
    else:
        assert corpus.table.column("text")[1].as_py() == kept
        assert [fault.where for fault in corpus.mended] == [f"{path}:2"]


def test_a_truncated_gzip_keeps_the_rows_before_the_break(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    import random

    draw = random.Random(1)
    text = "".join(json.dumps({"text": str(draw.random())}) + "\n" for _ in range(5000))
    path.write_bytes(gzip.compress(text.encode())[:20_000])
    with pytest.raises(DataError, match="end too soon"):
        JsonLines().read(path)
    corpus = JsonLines().read(path, bad_rows="skip")
    assert 500 < corpus.table.num_rows < 4999
    assert len(corpus.skipped) == 1


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("\n \n")
    with pytest.raises(DataError, match="the file is empty"):
        JsonLines().read(path)


def test_a_pipe_is_claimed_and_read():
    pipe = Piped(io.BytesIO(b'{"text": "a"}\n{"text": "b"}\n'))
    assert JsonLines().claims(pipe, pipe.peek()) > 0.7
    assert JsonLines().read(pipe).table.num_rows == 2
