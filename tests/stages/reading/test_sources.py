import io

import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.jsonl import JsonLines
from graftlm.plugins.readers.text_folder import TextFolder
from graftlm.stages.reading.sources import find


@pytest.mark.parametrize(
    ("name", "data", "reader"),
    [
        ("a.csv", b"text,label\na,b\n", "csv"),
        ("a.tsv", b"text\tlabel\na\tb\n", "csv"),
        ("a.txt", "很好\t1\n不好\t0\n真的很好\t1\n".encode(), "csv"),
        ("a.txt", b"one text, with a comma\nanother\n", "lines"),
        ("a.jsonl", b'{"text": "a"}\n', "jsonl"),
        ("a.json", b'{"text": "a"}\n{"text": "b"}\n', "jsonl"),
        ("a.json", b'[{"text": "a"}]', "json"),
        ("a.parquet", b"PAR1", "parquet"),
        ("a.data", b'{"text": "a"}\n{"text": "b"}\n', "jsonl"),
    ],
)
def test_the_reader_is_found(tmp_path, name, data, reader):
    path = tmp_path / name
    path.write_bytes(data)
    found, given = find(str(path))
    assert (found.name(), given) == (reader, path)


def test_folders_and_objects_and_names(tmp_path):
    assert find(tmp_path)[0].name() == "text_folder"
    assert find([{"text": "a"}])[0].name() == "memory"
    assert find("owner/name")[0].name() == "hub"


@pytest.mark.parametrize(
    ("data", "reader"),
    [(b"just, text\nmore\n", "lines"), (b'{"text": 1}\n{"text": 2}\n', "jsonl"), (b"text,label\na,b\n", "csv")],
)
def test_standard_input(monkeypatch, data, reader):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    found, given = find("-")
    assert found.name() == reader
    assert str(given) == "standard input"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(DataError, match="standard input: nothing came"):
        find("-")


def test_a_missing_file_comes_with_near_names(tmp_path):
    (tmp_path / "train.csv").write_text("x")
    (tmp_path / "test.csv").write_text("x")
    with pytest.raises(DataError) as caught:
        find(str(tmp_path / "trian.csv"))
    assert f"There is no file or folder '{tmp_path}/trian.csv'. Did you mean 'train.csv'?" in str(caught.value)
    assert "holds 'test.csv', 'train.csv'" in str(caught.value)
    with pytest.raises(DataError, match="the folder 'no/such' does not exist"):
        find("no/such/file.csv")
    with pytest.raises(DataError, match="There is no file or folder 'absent.csv'"):
        find("absent.csv")
    with pytest.raises(DataError, match="There is no file or folder"):
        find(str(tmp_path / "x.jsonl"), JsonLines())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.yml", b"categories:\n- x\n", "looks like YAML"),
        ("a.bin", b"%PDF-1.4", "looks like a PDF document"),
        ("a.xml", b"<?xml version='1.0'?>\n<a/>", "looks like XML"),
        ("a.csv", b"", "the file is empty"),
    ],
)
def test_what_no_reader_reads_is_named(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        find(path)


def test_an_object_of_no_known_kind():
    with pytest.raises(DataError, match="No reader understands a object"):
        find(object())


def test_a_named_reader_is_taken_at_its_word(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x")
    assert find(path, TextFolder())[0].name() == "text_folder"
    with pytest.raises(DataError, match="Expected a folder"):
        TextFolder().read(path)
