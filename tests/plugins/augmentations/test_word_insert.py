"""Inserting words."""

from __future__ import annotations

import numpy as np

from graftlm.core import registry

ENGLISH = "please transfer 20 euros to my other card"


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_inserting_adds_words_of_the_text():
    words = make("word_insert", rate=0.25).change(ENGLISH, rng()).split()
    assert len(words) == 10
    assert set(words) == set(ENGLISH.split())
