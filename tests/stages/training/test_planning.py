"""Planning: what is left open is chosen by size, and said."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftlm.core import registry
from graftlm.recipe import TrainSection
from graftlm.stages.training.planning import plan

ADAMW = registry.make("optimizer", "adamw")


def planned(sequences=9_000, width=384, **section):
    made = TrainSection(**section)
    return plan(made, made.optimizer, sequences=sequences, width=width)


@given(st.integers(1, 10**7), st.integers(8, 8192), st.integers(1, 512))
def test_every_choice_is_sensible_and_said(sequences, width, batch_size):
    chosen = planned(sequences, width, batch_size=batch_size)
    assert chosen.steps_per_epoch == math.ceil(sequences / batch_size)
    assert chosen.steps == max(1, math.ceil(chosen.steps_per_epoch * chosen.epochs))
    assert 0 < chosen.rate < 1e-2
    assert 0 < chosen.epochs
    assert any(f"{chosen.epochs:g} epochs" in reason and "train.epochs" in reason for reason in chosen.reasons)
    assert any(f"{chosen.rate:g}" in reason and "train.optimizer.rate" in reason for reason in chosen.reasons)


def test_few_rows_get_more_epochs_than_many():
    epochs = [planned(sequences).epochs for sequences in (300, 3_000, 10_000, 100_000, 1_000_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[-1]


def test_wider_models_learn_more_slowly():
    rates = [planned(width=width).rate for width in (384, 768, 1024, 4096)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


def test_sgd_takes_larger_steps():
    assert planned(optimizer="sgd").rate > 10 * planned().rate


def test_what_is_given_is_taken_and_not_explained():
    chosen = planned(epochs=2.5, optimizer={"use": "adamw", "rate": 7e-4}, batch_size=100)
    assert (chosen.epochs, chosen.rate, chosen.steps_per_epoch, chosen.steps) == (2.5, 7e-4, 90, 225)
    assert chosen.reasons == ()


@pytest.mark.parametrize("epochs", [0.001, 0.3])
def test_a_part_of_an_epoch_is_at_least_one_step(epochs):
    assert planned(sequences=40, epochs=epochs).steps == 1


def test_a_part_of_an_epoch_is_rounded_up_to_whole_steps():
    assert planned(sequences=320, epochs=0.55).steps == 6
