"""Deleting words."""

from __future__ import annotations

import numpy as np
import pytest

from graftlm.core import registry

ENGLISH = "please transfer 20 euros to my other card"


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 1.0])
def test_deleting_takes_out_its_share(rate):
    words = make("word_delete", rate=rate).change(ENGLISH, rng()).split()
    assert len(words) == max(1, 8 - max(1, round(rate * 8)))
    rest = iter(ENGLISH.split())
    assert all(word in rest for word in words)  # in their order
