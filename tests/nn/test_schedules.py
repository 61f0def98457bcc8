"""Schedules against Transformers' schedulers, step by step."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_scheduler
from transformers.optimization import get_wsd_schedule

from graftlm.nn.schedules import DECAY, multiplier

STEPS, WARM = 100, 20
NAMES = ["linear", "cosine", "constant", "wsd"]


def reference(name: str) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    if name == "wsd":
        decay = round(DECAY * STEPS)
        made = get_wsd_schedule(optimizer, WARM, decay, num_stable_steps=STEPS - WARM - decay, decay_type="1-sqrt")
    else:
        known = {"constant": "constant_with_warmup"}.get(name, name)
        made = get_scheduler(known, optimizer, num_warmup_steps=WARM, num_training_steps=STEPS)
    rates = []
    for _ in range(STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return rates


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_shape_of_transformers_at_every_step(name):
    for step, expected in enumerate(reference(name)):
        assert multiplier(name, step / STEPS, WARM / STEPS) == pytest.approx(expected, abs=1e-6), step


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 0.99))
def test_it_lies_between_nought_and_one(name, done, warmup):
    assert 0 <= multiplier(name, done, warmup) <= 1


@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_it_rises_in_the_warm_up_and_never_after(name, first, second, warmup):
    low, high = sorted((first, second))
    if high < warmup:
        assert multiplier(name, low, warmup) <= multiplier(name, high, warmup)
    elif low >= warmup:
        assert multiplier(name, low, warmup) >= multiplier(name, high, warmup) - 1e-12


@pytest.mark.parametrize("name", ["linear", "cosine", "wsd"])
def test_it_ends_at_nought(name):
    assert multiplier(name, 1.0, 0.1) == pytest.approx(0, abs=1e-12)


def test_without_warm_up_it_starts_at_the_top():
    assert all(multiplier(name, 0.0, 0.0) == 1.0 for name in NAMES)
    assert math.isclose(multiplier("cosine", 0.5, 0.0), 0.5)
