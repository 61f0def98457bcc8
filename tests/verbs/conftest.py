"""The tiny models of tests/tiny.py as a fixture: tests are no package, so that the file is loaded by its path."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

_spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[1] / "tiny.py")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(module)
    return module
