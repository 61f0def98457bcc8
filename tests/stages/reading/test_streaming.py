import io
import json
import resource

import pytest

from graftlm.core.errors import DataError
from graftlm.stages.reading import stream


def flat(*args, **options):
    return [example for chunk in stream(*args, **options) for example in chunk]


def test_chunks_ids_and_order(tmp_path, choosing):
    path = tmp_path / "a.csv"
    path.write_text("编号,内容\n" + "".join(f"k{i},第{i}条评论写得很长\n" for i in range(10)), encoding="utf-8")
    chunks = list(stream(str(path), choosing, size=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    examples = [example for chunk in chunks for example in chunk]
    assert [example.id for example in examples] == [f"k{i}" for i in range(10)]
    assert examples[3].fields == {"text": "第3条评论写得很长"}
    assert examples[3].target is None
    assert examples[3].where == f"{path}:5"


def test_rows_are_numbered_through_all_pieces(tmp_path, choosing, monkeypatch):
    monkeypatch.setattr("graftlm.plugins.readers.jsonl.PIECE_ROWS", 3)
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"t{i}"}) for i in range(8)]
    lines[4] = "broken"
    path.write_text("\n".join(lines))
    heard = []
    examples = flat(str(path), choosing, bad_rows="skip", on_fault=heard.append)
    assert [(e.id, e.fields["text"]) for e in examples] == [(str(i + 1), f"t{i}") for i in range(8) if i != 4]
    assert [fault.where for fault in heard] == [f"{path}:5"]
    with pytest.raises(DataError, match="a.jsonl:5"):
        flat(str(path), choosing)


def test_a_piece_may_lack_an_optional_column(tmp_path, choosing, monkeypatch):
    monkeypatch.setattr("graftlm.plugins.readers.jsonl.PIECE_ROWS", 2)
    path = tmp_path / "a.jsonl"
    rows = [{"text": "a", "text_pair": "b", "id": "x"}, {"text": "c", "text_pair": "d", "id": "y"}, {"text": "e"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    examples = flat(str(path), choosing)
    assert [(e.id, e.fields["text_pair"]) for e in examples] == [("x", "b"), ("y", "d"), ("3", None)]


@pytest.mark.parametrize("text", ["one, text\nand another\n", '{"text": "one, text"}\n{"text": "and another"}\n'])
def test_standard_input(monkeypatch, choosing, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert [example.fields["text"] for example in flat("-", choosing)] == ["one, text", "and another"]


def test_named_columns(choosing, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,other,key\na,b,k1\nc,d,k2\n")
    examples = flat(str(path), choosing, {"text": "other", "id": "key"})
    assert [(e.id, e.fields["text"]) for e in examples] == [("k1", "b"), ("k2", "d")]
    with pytest.raises(DataError, match="there is no column 'absent'"):
        flat(str(path), choosing, {"text": "absent"})


def test_a_header_alone_is_refused(choosing, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n")
    with pytest.raises(DataError, match="found the header alone"):
        flat(str(path), choosing)


def test_memory_does_not_grow_with_the_rows(choosing, tmp_path):
    path = tmp_path / "a.jsonl"
    row = json.dumps({"text": "word " * 200}) + "\n"
    with path.open("w") as handle:
        for _ in range(20):
            handle.write(row * 2500)  # 50 MB in all
    seen = before = 0
    for chunk in stream(str(path), choosing):
        seen += len(chunk)
        if seen > 20_000 and not before:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert seen == 50_000
    assert after - before < 40_000  # kilobytes
