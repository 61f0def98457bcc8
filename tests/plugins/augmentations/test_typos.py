"""Slips of the keyboard."""

from __future__ import annotations

import numpy as np

from graftlm.core import registry
from graftlm.plugins.augmentations.typos import NEIGHBOURS


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_typos_leave_first_letters_and_digits():
    for seed in range(30):
        changed = make("typos", rate=0.2).change("twenty 20", rng(seed))
        assert changed.endswith("20")
        first = [word[0] for word in make("typos", rate=0.9).change("twenty of my old cards", rng(seed)).split()]
        assert first == ["t", "o", "m", "o", "c"]
    assert set(NEIGHBOURS["s"]) == set("adwezx")
