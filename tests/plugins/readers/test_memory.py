import pyarrow as pa
import pytest

from graftlm.core.errors import DataError
from graftlm.plugins.readers.memory import Memory

COLUMNS = {"text": ["a", "文"], "label": ["x", "y"]}
ROWS = [{"text": "a", "label": "x"}, {"text": "文", "label": "y"}]


@pytest.mark.parametrize(
    "given",
    [ROWS, COLUMNS, pa.table(COLUMNS), pa.RecordBatch.from_pydict(COLUMNS), [("a", "x"), ("文", "y")]],
    ids=["mappings", "columns", "table", "batch", "tuples"],
)
def test_reads_what_a_program_holds(given):
    assert Memory().claims(given, b"") > 0.5
    corpus = Memory().read(given)
    assert [tuple(row.values()) for row in corpus.table.to_pylist()] == [("a", "x"), ("文", "y")]
    assert corpus.where(1).endswith(":2")


def test_a_list_of_texts_has_one_column():
    assert Memory().read(["a", "b"]).table.to_pylist() == [{"text": "a"}, {"text": "b"}]


def test_a_data_frame_keeps_numbers_missing_values_and_categories():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["a", None, "c"], "n": [1, 2, None], "k": pandas.Categorical(["x", "y", "x"])})
    frame["mixed"] = [1, "one", None]
    corpus = Memory().read(frame[[*frame.columns]].set_index("text", drop=False))
    assert corpus.table.column_names == ["text", "n", "k", "mixed"]
    assert corpus.table.column("text").to_pylist() == ["a", None, "c"]
    assert corpus.table.column("n").to_pylist() == [1.0, 2.0, None]
    assert corpus.table.column("k").to_pylist() == ["x", "y", "x"]
    assert corpus.table.column("mixed").to_pylist() == ["1", "one", None]


def test_a_data_set_gives_class_names_and_respects_its_order():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    corpus = Memory().read(data.select([2, 0, 1]))
    assert corpus.table.to_pylist() == [
        {"text": "c", "label": None},
        {"text": "a", "label": "yes"},
        {"text": "b", "label": "no"},
    ]
    with pytest.raises(DataError, match="a mapping of several \\('train'\\)"):
        Memory().read(datasets.DatasetDict({"train": data}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ["a"], "label": []}, "The columns differ in length: text: 1, label: 0"),
        ({"text": "abc"}, "Expected a mapping of columns"),
        ([1, 2], "list:1: expected a mapping such as"),
        (iter([]), "got a list_iterator"),
    ],
)
def test_refuses_other_objects(given, message):
    with pytest.raises(DataError, match=message):
        Memory().read(given)


def test_broken_text_follows_the_policy():
    rows = [{"text": "a"}, {"text": "b\ud800"}, {"text": "c\0"}]
    with pytest.raises(DataError, match="list:2: half of a surrogate pair"):
        Memory().read(rows)
    skipped = Memory().read(rows, bad_rows="skip")
    assert (skipped.read, skipped.table.to_pylist()) == (3, [{"text": "a"}])
    assert Memory().read(rows, bad_rows="keep").table.column("text").to_pylist() == ["a", "b\ufffd", "c\ufffd"]
    table = pa.table({"text": ["a", "b\0", None], "n": [1, 2, 3]})
    assert Memory().read(table, bad_rows="skip").lines.to_pylist() == [1, 3]
    assert Memory().read(table, bad_rows="keep").table.column("text").to_pylist() == ["a", "b\ufffd", None]


def test_the_object_is_not_changed():
    rows = [{"text": "b\0"}]
    Memory().read(rows, bad_rows="keep")
    assert rows == [{"text": "b\0"}]
