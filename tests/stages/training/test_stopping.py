"""Stopping on purpose: the first signal asks, the second insists, and handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from graftlm.stages.training.stopping import listening, terminable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_insists(number):
    with listening() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.asked == signal.Signals(number).name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_handlers_are_put_back_even_after_a_fault():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def fails():
        with listening():
            assert signal.getsignal(signal.SIGTERM) not in before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_beside_the_main_thread_it_only_says_no():
    found = []

    def work():
        with listening() as stop:
            found.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_outside_of_training_sigterm_is_as_an_interrupt():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt, match="Stopped by SIGTERM"), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
