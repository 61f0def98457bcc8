"""Optional packages: the missing one is named, a broken one is not hidden."""

from __future__ import annotations

import math

import pytest

from graftlm.core.errors import MissingPackage
from graftlm.core.optional import need


def test_what_is_there_is_returned():
    assert need("math", "x", "counting") is math


def test_what_is_missing_carries_its_install_command():
    expected = r"Tracking needs the package 'no_such_thing', which is not installed\. .*pip install 'graftlm\[wandb\]'"
    with pytest.raises(MissingPackage, match=expected):
        need("no_such_thing.inner", "wandb", "Tracking")


def test_a_package_that_is_there_but_misses_another_tells_which(tmp_path, monkeypatch):
    (tmp_path / "graft_half.py").write_text("import graft_other_half\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="graft_other_half"):
        need("graft_half", "x", "Tracking")


def test_a_missing_package_whose_name_begins_like_the_wanted_one_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "graft_wanted.py").write_text("import graft\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'graft'"):
        need("graft_wanted", "x", "Tracking")
