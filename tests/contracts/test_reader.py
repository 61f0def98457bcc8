import pyarrow as pa
import pytest

from graftlm.contracts.reader import Corpus, Faults, column, join, plain, records
from graftlm.core.errors import DataError


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (2.5, "2.5"), (True, "true"), (None, None), (float("nan"), None), (["a"], '["a"]'), ("好", "好"),
     (7, "7"), ({"a": "好"}, '{"a": "好"}')],
)  # fmt: skip
def test_values_as_text(value, text):
    assert plain(value) == text


def test_a_mapping_with_free_keys_becomes_text_not_thousands_of_fields():
    few = column([{"start": 1, "end": 2}, {"start": 3, "end": 4}])
    assert pa.types.is_struct(few.type)
    many = column([{f"name {i}": [[i, i]]} for i in range(100)])
    assert many.type == pa.string()
    assert many[3].as_py() == '{"name 3": [[3, 3]]}'


def test_numbers_too_large_for_arrow_become_text():
    assert column([1, 10**30]).to_pylist() == ["1", str(10**30)]


def test_a_key_that_a_row_lacks_is_null():
    assert records([{"a": 1}, {"b": "x"}]).to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_pieces_join_with_their_places_and_faults():
    faults = Faults("keep")
    faults.lost("a:1", "broken")
    assert faults.kept("a:2", "mended") is True
    one = Corpus(pa.table({"n": [1]}), "a", pa.array([2]), {"x": "y"}, **faults.drain())
    two = Corpus(pa.table({"n": ["z"]}), "a", pa.array([5]), {"x": "y"}, **faults.drain())
    whole = join([one, two])
    assert whole.table.to_pylist() == [{"n": "1"}, {"n": "z"}]
    assert (whole.read, len(whole.skipped), len(whole.mended), whole.where(1)) == (3, 1, 1, "a:5")


def test_the_policy_stop_raises_and_skip_records():
    with pytest.raises(DataError, match="a:1: broken. Mend the row, or set data.bad_rows to 'skip'"):
        Faults("stop").kept("a:1", "broken")
    faults = Faults("skip")
    assert faults.kept("a:1", "broken") is False
    assert [fault.as_json() for fault in faults.drain()["skipped"]] == [{"where": "a:1", "reason": "broken"}]
    assert faults.drain() == {"skipped": (), "mended": ()}
