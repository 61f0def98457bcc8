"""The other width."""

from __future__ import annotations

import numpy as np

from graftlm.core import registry

ENGLISH = "please transfer 20 euros to my other card"


def make(name, **fields):
    return registry.make("augmentation", {"use": name, **fields})


def rng(seed=0):
    return np.random.default_rng(seed)


def test_full_width_is_its_own_inverse():
    one = make("full_width", rate=1.0)
    assert one.change("Ab1!", rng()) == "\uff21\uff42\uff11\uff01"
    assert one.change(one.change(ENGLISH, rng()), rng()) == ENGLISH
