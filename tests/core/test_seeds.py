"""Seeds: named children of one root."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from graftlm.core import seeds


@given(st.integers(0, 2**31), st.text(max_size=5), st.integers(0, 100))
def test_a_child_is_a_function_of_its_arguments_and_fits_63_bits(seed, name, epoch):
    found = seeds.child(seed, name, epoch)
    assert found == seeds.child(seed, name, epoch)
    assert 0 <= found < 2**63


def test_children_differ_by_seed_name_and_number():
    found = {seeds.child(s, n, e) for s in range(5) for n in ("order", "dropout") for e in range(5)}
    assert len(found) == 50


def test_a_child_never_changes_between_versions():
    expected = int.from_bytes(hashlib.sha256(b"0:order:3").digest()[:8], "big") >> 1
    assert seeds.child(0, "order", 3) == expected


def test_generators_repeat():
    assert seeds.generator(1, "a").random(3).tolist() == seeds.generator(1, "a").random(3).tolist()
    assert seeds.generator(1, "a").random() != seeds.generator(1, "b").random()
