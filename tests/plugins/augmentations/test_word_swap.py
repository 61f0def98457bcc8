"""Swapping neighbours."""

from __future__ import annotations

from collections import Counter

import numpy as np

from graftlm.core import registry

ENGLISH = "please transfer 20 euros to my other card"


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_swapping_keeps_the_words():
    changed = make("word_swap", rate=0.5).change(ENGLISH, rng())
    assert Counter(changed.split()) == Counter(ENGLISH.split())
