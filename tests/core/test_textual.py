import numpy as np
import pandas as pd
import pytest

from graftlm.core.textual import written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"b's\"]", ["a", "b's"]),
        ("(1, 2)", [1, 2]),
        ("{'text': ['x'], 'answer_start': [3]}", {"text": ["x"], "answer_start": [3]}),
        ("[a, b]", None),
        ("[1] as it was said", None),
        ("plain", None),
        ("['x'].pop()", None),
        ("", None),
    ],
)
def test_lists_and_mappings_are_read_back_and_nothing_else(text, value):
    assert written(text) == value


def test_what_pandas_prints_of_arrays_is_read_back():
    given = {"text": np.array(["Saint-Denis", "a, b"], dtype=object), "answer_start": np.array([7, 9], dtype=np.int32)}
    text = pd.Series([given]).to_csv(index=False, header=False).strip().strip('"').replace('""', '"')
    assert "dtype" in text
    assert written(text) == {"text": ["Saint-Denis", "a, b"], "answer_start": [7, 9]}
