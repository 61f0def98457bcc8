"""Memory that runs out: the step is made again in smaller parts, with the same losses and weights."""

from __future__ import annotations

import logging

import pytest
import torch

from graftlm.core import memory
from graftlm.core.errors import UserError
from graftlm.stages.training.loop import Loop, train

EACH = {"stop": lambda: True}  # a Progress after each step
CPU = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"


def short_of_memory(monkeypatch, most, fault, after=False):
    """Let a pass over more than `most` rows fail, `after`: once its gradient is there."""
    inner, failed = Loop._loss, []

    def loss(self, batch, share, total):
        out = inner(self, batch, share, total)
        if len(batch.rows) > most:
            failed.append(self.step)
            torch.rand(3)  # what the step drew before it failed must not be missed after
            if after:
                out.backward()
            raise fault
        return out

    monkeypatch.setattr(Loop, "_loss", loss)
    return failed


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fault", [RuntimeError(CPU), MemoryError(), torch.cuda.OutOfMemoryError("CUDA out of memory")])
def test_the_losses_and_weights_are_those_of_a_run_with_enough(setup, monkeypatch, caplog, fault, after):
    whole = setup(count=12, dropout=0.0)
    expected = [one.loss for one in whole.train(steps=8, warmup=0.1, job=EACH)]
    spared = setup(count=12, dropout=0.0)
    failed = short_of_memory(monkeypatch, 1, fault, after)
    with caplog.at_level(logging.INFO, "graftlm"):
        found = [one.loss for one in spared.train(steps=8, warmup=0.1, job=EACH)]
    assert failed == [0, 0]  # four rows, two rows, then one at a time for good
    assert found == pytest.approx(expected, abs=1e-6)
    for name, tensor in whole.weights().items():
        torch.testing.assert_close(spared.weights()[name], tensor, atol=2e-5, rtol=0, msg=name)
    assert "memory ran out at step 1: micro-batches of 2 instead of 4 from here on, 2 of them" in caplog.text
    assert "micro-batches of 1 instead of 2 from here on, 4 of them to an update; the batch of 4 stays" in caplog.text


def test_a_spared_run_is_bit_for_bit_one_with_such_micro_batches(setup, monkeypatch):
    asked = setup()
    asked.train(steps=4, micro_batch_size=2)
    spared = setup()
    short_of_memory(monkeypatch, 2, RuntimeError(CPU))
    spared.train(steps=4)
    assert [n for n, t in asked.weights().items() if not torch.equal(t, spared.weights()[n])] == []


def test_a_resumed_run_keeps_the_micro_batch_that_was_found(setup, monkeypatch):
    from graftlm.stages.training.snapshots import take_snapshot

    whole = setup()
    with monkeypatch.context() as patch:
        short_of_memory(patch, 2, RuntimeError(CPU))
        whole.train(steps=6)
        first = setup()
        loop = Loop(first.job(steps=6), first.section(), first.accelerator)
        loop.modes()
        for _ in range(3):
            loop.update()
        taken = take_snapshot(loop)
        taken["tensors"] = {name: tensor.clone() for name, tensor in taken["tensors"].items()}
        loop.close()
    assert taken["facts"]["micro"] == 2
    second = setup()
    section = second.section()
    list(train(second.job(steps=6), section, second.accelerator, taken))  # there is memory enough now
    assert [n for n, t in whole.weights().items() if not torch.equal(t, second.weights()[n])] == []


def test_one_row_that_does_not_fit_is_told(setup, monkeypatch):
    short_of_memory(monkeypatch, 0, MemoryError())
    with pytest.raises(UserError, match=r"Memory ran out at step 1 with one row at a time .*\d+ tokens.*--base"):
        setup().train(steps=2)


def test_other_faults_are_raised_as_they_are(setup, monkeypatch):
    failed = short_of_memory(monkeypatch, 0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        setup().train(steps=2)
    assert failed == [0]


def test_a_real_allocation_that_fails_is_known():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert memory.ran_out(caught.value)
    assert not memory.ran_out(ValueError("out of memory"))
