import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.text_folder import TextFolder


def fill(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_folders_are_classes_in_sorted_order(tmp_path):
    fill(
        tmp_path,
        {"pos/b.txt": "很好\n".encode("gb18030") * 3, "pos/a.txt": b"good", "neg/1.txt": b"bad", "neg/x.md": b"-"},
    )
    corpus = TextFolder().read(tmp_path)
    assert corpus.table.to_pylist() == [
        {"text": "bad", "label": "neg"},
        {"text": "good", "label": "pos"},
        {"text": "很好\n很好\n很好", "label": "pos"},
    ]
    assert corpus.where(2) == f"{tmp_path}/pos/b.txt"


def test_a_file_that_is_no_text_is_named(tmp_path):
    fill(tmp_path, {"pos/a.txt": b"good", "neg/b.txt": b"%PDF-1.4"})
    with pytest.raises(DataError, match=r"neg/b.txt: expected text, but the file is a PDF document"):
        TextFolder().read(tmp_path)
    corpus = TextFolder().read(tmp_path, bad_rows="skip")
    assert (corpus.read, corpus.table.num_rows) == (2, 1)


def test_split_folders_are_told_apart_from_classes(tmp_path):
    fill(tmp_path, {"train/pos/a.txt": b"good", "test/pos/a.txt": b"good"})
    with pytest.raises(DataError, match="are splits, not classes"):
        TextFolder().read(tmp_path)
    assert TextFolder().read(tmp_path / "train").table.num_rows == 1


def test_a_folder_of_something_else_says_what_is_there(tmp_path):
    fill(tmp_path, {"a.csv": b"x", "b.csv": b"x"})
    with pytest.raises(DataError, match="found 'a.csv', 'b.csv'"):
        TextFolder().read(tmp_path)
