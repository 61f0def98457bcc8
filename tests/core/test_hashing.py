"""Fingerprints."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.core import hashing

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_of_file_equals_hashlib(tmp_path, size):
    path = tmp_path / "x"
    path.write_bytes(b"ab" * (size // 2) + b"c" * (size % 2))
    assert hashing.of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@given(st.dictionaries(st.text(), JSON, min_size=2))
def test_of_value_does_not_depend_on_the_order_of_keys(tree):
    assert hashing.of_value(tree) == hashing.of_value(dict(reversed(list(tree.items()))))


@given(JSON, JSON)
def test_other_values_have_other_fingerprints(a, b):
    import json

    assert (hashing.of_value(a) == hashing.of_value(b)) == (
        json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    )


def test_of_value_is_the_same_in_every_version():
    assert hashing.of_value({"b": 1, "a": ["文", None]}) == hashlib.sha256(b'{"a":["\\u6587",null],"b":1}').hexdigest()
