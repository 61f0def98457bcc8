"""The allocator: asked through glibc where there is one, nowhere else."""

from __future__ import annotations

import sys

import pytest

from graftlm.nn import allocator


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
