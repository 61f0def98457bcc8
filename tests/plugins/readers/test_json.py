import json

import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.json import Json

ROWS = [{"text": "a", "label": "x"}, {"text": "文", "label": "y"}]


@pytest.mark.parametrize("document", [ROWS, {"name": "set", "rows": ROWS, "tags": []}])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_reads_an_array_or_the_one_array_of_an_object(tmp_path, document, encoding):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding=encoding)
    corpus = Json().read(path)
    assert corpus.table.to_pylist() == ROWS
    assert corpus.where(1) == f"{path}:2"


def test_several_arrays_need_a_name(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"train": ROWS, "test": ROWS[:1]}))
    with pytest.raises(DataError, match="several arrays of objects \\('train', 'test'\\)"):
        Json().read(path)
    assert Json(key="test").read(path).table.num_rows == 1
    with pytest.raises(DataError, match="there is no array 'dev'; keys: 'train', 'test'"):
        Json(key="dev").read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("[{", "this is not JSON"),
        ("3", "expected an array of objects, found '3'"),
        ('{"a": 1}', "found an object with the keys 'a'"),
    ],
)
def test_refuses_what_is_no_table(tmp_path, text, message):
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        Json().read(path)


def test_rows_that_are_no_objects_or_hold_broken_text(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('[{"text": "a"}, 7, {"text": "b\\ud800"}, {"text": "c\\u0000"}]')
    with pytest.raises(DataError, match="data.json:2: expected an object, found 7"):
        Json().read(path)
    skipped = Json().read(path, bad_rows="skip")
    assert (skipped.read, skipped.table.num_rows) == (4, 1)
    kept = Json().read(path, bad_rows="keep")
    assert kept.table.column("text").to_pylist() == ["a", "b\ufffd", "c\ufffd"]
    assert (len(kept.skipped), len(kept.mended)) == (1, 2)
