"""The allocator: asked through glibc where there is one, nowhere else."""

from __future__ import annotations

import sys

import pytest

from graftlm.nn import allocator


@pytest.fixture(autouse=True)
def nothing_asked_yet(monkeypatch):
    monkeypatch.setattr(allocator, "_kept", 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_glibc_agrees():
    assert allocator.keep_pages() is True


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("asked the C library"))
    assert allocator.keep_pages() is False


def test_a_library_without_the_call_is_no_fault(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_pages() is False


def test_what_was_asked_is_never_made_less(monkeypatch):
    asked = []

    class Library:
        def mallopt(self, what, value):
            asked.append((what, value))
            return 1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: Library())
    assert allocator.keep_pages(allocator.OF_ANSWERS)
    assert asked == [(-3, 1 << 26), (-1, 1 << 27)]
    assert allocator.keep_pages()
    assert asked[2:] == [(-3, 1 << 30), (-1, (1 << 31) - 1)]
    assert allocator.keep_pages(allocator.OF_ANSWERS)
    assert len(asked) == 4
