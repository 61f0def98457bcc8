"""Other casing."""

from __future__ import annotations

import numpy as np

from graftlm.core import registry


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_only_the_casing_changes():
    seen = {make("casing").change("Pay me", rng(seed)) for seed in range(20)}
    assert seen == {"pay me", "PAY ME", "Pay Me"}


def test_a_text_without_letters_stays():
    assert make("casing").change("123 钱", rng()) == "123 钱"
