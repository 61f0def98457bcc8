import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.contracts.rows import ID, WHERE, Rows, fingerprint, pick

texts = st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=1, max_size=12)


def table(values, where="a.csv"):
    ids = [str(i) for i in range(len(values))]
    places = [f"{where}:{i}" for i in range(len(values))]
    return pa.table({"text": pa.array(values, pa.string()), ID: ids, WHERE: places})


@given(values=texts, size=st.integers(1, 5))
def test_a_fingerprint_names_the_content_and_nothing_else(values, size):
    whole = table(values)
    parts = pa.Table.from_batches(whole.to_batches(max_chunksize=size))
    cut = pa.concat_tables([whole.slice(i, size).take(list(range(len(whole.slice(i, size))))) for i in
                            range(0, len(whole), size)])  # fmt: skip
    assert fingerprint(whole) == fingerprint(parts) == fingerprint(cut) == fingerprint(table(values, "b.csv"))
    assert fingerprint(table([*values[:-1], (values[-1] or "") + "x"])) != fingerprint(whole)


def test_a_fingerprint_tells_apart_what_only_looks_alike():
    pairs = [["ab", "c"], ["a", "bc"], ["", "abc"], [None, "abc"], ["abc", ""], ["abc", None]]
    assert len({fingerprint(table(pair)) for pair in pairs}) == len(pairs)
    lists = pa.table({"tags": [["a"], ["b", "c"]]})
    assert fingerprint(lists) != fingerprint(pa.table({"tags": [["a", "b"], ["c"]]}))


@given(data=st.data())
def test_pick_is_take(data):
    values = [str(i) for i in range(data.draw(st.integers(1, 20)))]
    whole = pa.concat_tables([table(values[i : i + 3]) for i in range(0, len(values), 3)])
    numbers = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=10))
    for chosen in (numbers, sorted(numbers)):
        assert pick(whole, chosen).to_pylist() == whole.take(np.array(chosen, np.int64)).to_pylist()


def test_pick_refuses_rows_that_are_not_there():
    with pytest.raises(IndexError):
        pick(table(["a", "b"]), [0, 2])


def test_rows_give_examples_in_chunks():
    whole = table(["a", "b", "c"]).append_column("label", pa.array(["x", "y", "z"]))
    rows = Rows("train", whole, "label", fingerprint(whole))
    first, second = rows.chunks(2)
    assert [e.fields for e in (*first, *second)] == [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    assert (second[0].id, second[0].target, second[0].where) == ("2", "z", "a.csv:2")
    part = rows.take([2, 0], "some")
    assert (part.name, part.column("label"), part.where(0)) == ("some", ["z", "x"], "a.csv:2")
    assert part.fingerprint == rows.take([2, 0]).fingerprint != rows.take([0, 2]).fingerprint
    assert rows.has("label")
    assert not rows.has("text_pair")
