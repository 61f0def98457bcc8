import json

import pyarrow as pa
import pytest

from graftlm.contracts.task import Role
from graftlm.core.errors import DataError
from graftlm.recipe import DataSection
from graftlm.stages.reading.nested import single, together, with_parts
from graftlm.stages.reading.streaming import stream
from graftlm.stages.reading.whole import read

TEXT, LABEL = Role("text", "text", ("text",), "the text"), Role("label", "target", ("label",), "the class")


def one(values, role=TEXT):
    return single(pa.chunked_array([pa.array(values)]), role, "t", "classification", "a.jsonl").to_pylist()


def test_lists_of_words_are_put_together_as_they_are_written():
    assert one([["New", "York", "!"], None, ["在", "北京", "3", "天"]]) == ["New York !", None, "在北京3天"]
    assert one(["a", None]) == ["a", None]


def test_a_task_that_reads_lists_gets_them():
    kept = Role("tags", "target", (), "tags", nested=True)
    assert one([["O"], ["B-X"]], kept) == [["O"], ["B-X"]]


@pytest.mark.parametrize(
    ("values", "role", "told"),
    [
        ([["x"], ["x", "y"]], LABEL, r"column 't' holds lists, such as \['x'\].*one value a row.*'multilabel'"),
        ([{"en": "a", "de": "b"}], TEXT, r"holds mappings.*part of it may be named: 't.en', 't.de'"),
        (
            [[{"role": "user"}]],
            TEXT,
            r"a.jsonl: column 't' holds lists.*the task 'classification' expects one text a row",
        ),
    ],
)
def test_what_is_no_text_or_label_is_refused_by_name(values, role, told):
    with pytest.raises(DataError, match=told):
        one(values, role)


def test_several_columns_make_one_text_and_no_one_truth():
    columns = [pa.chunked_array([pa.array(values)]) for values in (["a", " ", None], ["b", "c", None])]
    assert together(columns, TEXT, ("x", "y"), "pair", "a.csv").to_pylist() == ["a\nb", "c", ""]
    with pytest.raises(DataError, match="a.csv: the task 'pair' expects one column as 'label'.*got 'x', 'y'"):
        together(columns, LABEL, ("x", "y"), "pair", "a.csv")


def test_a_part_of_a_mapping_is_named_with_a_dot(tmp_path, choosing):
    path = tmp_path / "a.jsonl"
    rows = [{"of": {"en": {"s": f"word {n}"}}, "label": "ab"[n % 2]} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = read(DataSection(train=str(path), columns={"text": "of.en.s"}, split={"valid": 0}), choosing)
    assert data.train.column("text")[:2] == ["word 0", "word 1"]
    answered = [e.fields["text"] for chunk in stream(str(path), choosing, {"text": "of.en.s"}) for e in chunk]
    assert answered[29] == "word 29"
    with pytest.raises(DataError, match="there is no column 'of.fr'"):
        read(DataSection(train=str(path), columns={"text": "of.fr"}), choosing)
    with pytest.raises(DataError, match="holds mappings"):
        read(DataSection(train=str(path), columns={"text": "of"}), choosing)


def test_a_name_with_a_dot_may_be_a_column():
    table = pa.table({"a.b": ["x"], "a": [{"b": "y"}]})
    assert with_parts(table, {"text": "a.b"}).column("a.b").to_pylist() == ["x"]
