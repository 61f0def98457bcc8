"""Tape dropout: expectations, rates, and masks that are a function of seed and step alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from graftlm.nn import dropout
from graftlm.nn.dropout import MaskTape, TapeDropout


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(dropout, "SHORTEST", 1 << 16)


def draw(tape, step, count=1 << 14, probability=0.1, part=0):
    tape.begin(step, part)
    return tape.mask(torch.empty(count), probability)


@pytest.mark.parametrize("probability", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_the_rate_and_the_expectation(probability):
    mask = torch.cat([draw(MaskTape(seed), 16 * seed, probability=probability) for seed in range(8)])
    rounded = round(probability * 256) / 256
    spread = (rounded * (1 - rounded) / len(mask)) ** 0.5
    assert abs(float((mask == 0).float().mean()) - rounded) < 6 * spread
    values = mask.unique()
    assert len(values) == 2
    assert values.max().item() == pytest.approx(1 / (1 - rounded), rel=1e-6)
    assert abs(float(mask.mean()) - 1) < 6 * spread / (1 - rounded)


def test_it_is_a_function_of_seed_step_and_part():
    once = draw(MaskTape(3), 5)
    assert torch.equal(once, draw(MaskTape(3), 5))
    for other in (draw(MaskTape(4), 5), draw(MaskTape(3), 6), draw(MaskTape(3), 5, part=1), draw(MaskTape(3), 21)):
        assert not torch.equal(once, other)


def test_what_came_before_does_not_matter():
    fresh = MaskTape(0)
    used = MaskTape(0)
    draw(used, 16)
    draw(used, 17, count=1 << 17)  # a larger tape than the usual one
    draw(used, 17, probability=0.5)
    assert torch.equal(draw(fresh, 18), draw(used, 18))
    assert torch.equal(draw(fresh, 18, count=1 << 17), draw(used, 18, count=1 << 17))


def test_two_masks_of_one_step_differ_and_have_the_given_shape_and_type():
    tape = MaskTape(0)
    like = torch.empty(4, 7, 9, dtype=torch.bfloat16)
    first, second = tape.mask(like, 0.5), tape.mask(like, 0.5)
    assert first.shape == like.shape
    assert first.dtype == torch.bfloat16
    assert not torch.equal(first, second)


def test_a_mask_larger_than_the_tape_is_served():
    mask = draw(MaskTape(0), 0, count=3 << 16, probability=0.5)
    assert len(mask) == 3 << 16
    assert 0.45 < float((mask == 0).float().mean()) < 0.55


def test_in_eval_mode_nothing_is_dropped():
    layer = TapeDropout(0.5, MaskTape(0))
    x = torch.randn(100)
    assert torch.equal(layer.eval()(x), x)
    dropped = layer.train()(x)
    assert torch.allclose(dropped[dropped != 0], x[dropped != 0] * 2)
    assert 20 < int((dropped == 0).sum()) < 80


def test_rate_nought_drops_nothing():
    x = torch.randn(100)
    assert torch.equal(TapeDropout(0.0, MaskTape(0)).train()(x), x)


def test_the_gradient_goes_through_the_same_mask():
    x = torch.ones(1000, requires_grad=True)
    out = TapeDropout(0.3, MaskTape(0)).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_plain_modules_come_back():
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2), nn.Sequential(nn.Dropout(0.4)))
    plain = [module[1], module[2][0]]
    swapped = dropout.swap_in(module, MaskTape(0))
    assert isinstance(module[1], TapeDropout)
    assert [module[1].p, module[2][0].p] == [0.2, 0.4]
    module.eval()
    dropout.swap_out(swapped)
    assert [module[1], module[2][0]] == plain
    assert not module[1].training


def test_a_copy_of_a_model_shares_the_tape():
    layer = TapeDropout(0.1, MaskTape(0))
    assert copy.deepcopy(layer).tape is layer.tape
