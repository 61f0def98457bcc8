"""The registry: files are plug-ins, listing imports none of them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import textwrap

import pytest
from pydantic import ValidationError

from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.core.plugin import Plugin


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Install a third party's plug-in `outsider` of kind optimizer; return the function that writes its text."""

    def write(text: str) -> None:
        (tmp_path / "graft_third_party").mkdir(exist_ok=True)
        (tmp_path / "graft_third_party" / "outsider.py").write_text(textwrap.dedent(text))
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("graft_third_party", "graft_third_party.outsider"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        point = importlib.metadata.EntryPoint("outsider", "graft_third_party.outsider", "graftlm.optimizer")
        monkeypatch.setattr(registry, "_third_party", lambda kind: {"outsider": point} if kind == "optimizer" else {})

    return write


GOOD = '''
    """An optimizer from elsewhere."""
    from typing import ClassVar
    from graftlm.core.plugin import Plugin

    class _Helper(Plugin):
        kind: ClassVar[str] = "optimizer"

    class Outsider(Plugin):
        """Outside."""
        kind: ClassVar[str] = "optimizer"
        speed: int = 1
'''


def test_every_kind_has_a_folder_and_every_folder_a_kind():
    from graftlm import plugins

    found = {info for info in registry.FOLDERS.values()}
    there = {path.name for base in plugins.__path__ for path in registry.Path(base).iterdir() if path.is_dir()}
    assert found == there - {"__pycache__"}
    assert registry.kinds() == sorted(registry.FOLDERS)


@pytest.mark.parametrize(
    ("word", "kind"), [("method", "method"), ("methods", "method"), ("Loss", "loss"), ("losses", "loss")]
)
def test_a_kind_is_known_by_its_name_and_by_its_folder(word, kind):
    assert registry.kind_named(word) == kind


def test_an_unknown_kind_is_refused_with_the_near_one():
    with pytest.raises(UserError, match=r"no kind of plug-in called 'metod'\. Did you mean 'method'\? Kinds: "):
        registry.kind_named("metod")


def test_an_unknown_name_is_refused_with_the_near_one():
    with pytest.raises(UserError, match=r"There is no optimizer called 'adamv'\. Did you mean 'adamw'\? Known: 'ada"):
        registry.load("optimizer", "adamv")


def test_a_plug_in_is_made_from_a_name_a_mapping_or_itself():
    plugin = registry.make("optimizer", {"use": "sgd", "momentum": 0.5})
    assert registry.make("optimizer", plugin) is plugin
    assert registry.make("optimizer", plugin.as_use()) == plugin
    assert registry.make("optimizer", "sgd").momentum == 0.9


def test_what_is_none_of_these_is_refused():
    with pytest.raises(ValueError, match="expected one method, got the optimizer 'sgd'"):
        registry.make("method", registry.make("optimizer", "sgd"))
    for given in ({"momentum": 1}, 3, {"use": 3}, None):
        with pytest.raises(
            ValueError, match="expected the name of one optimizer, or a mapping with the key 'use'; got "
        ):
            registry.make("optimizer", given)
    with pytest.raises(ValidationError, match="less than 1"):
        registry.make("optimizer", {"use": "sgd", "momentum": 2})


def test_a_third_party_is_listed_without_import_and_loaded_by_its_entry_point(outside):
    outside(GOOD)
    assert "outsider" in registry.names("optimizer")
    assert registry.summary("optimizer", "outsider") == "An optimizer from elsewhere."
    assert "graft_third_party.outsider" not in sys.modules
    plugin = registry.make("optimizer", {"use": "outsider", "speed": 2})
    assert isinstance(plugin, Plugin)
    assert plugin.as_use() == {"use": "outsider", "speed": 2}


def test_a_third_party_cannot_take_the_place_of_a_plug_in_of_the_package(outside, monkeypatch):
    outside(GOOD)
    point = importlib.metadata.EntryPoint("adamw", "graft_third_party.outsider", "graftlm.optimizer")
    monkeypatch.setattr(registry, "_third_party", lambda kind: {"adamw": point})
    assert registry.load("optimizer", "adamw").__module__ == "graftlm.plugins.optimizers.adamw"


def test_a_file_with_two_classes_or_none_is_refused(outside):
    outside(GOOD + "\n    class Second(Outsider):\n        pass\n")
    with pytest.raises(TypeError, match=r"must hold exactly one public optimizer class, found 2"):
        registry.load("optimizer", "outsider")
    outside('"""Empty."""\n')
    with pytest.raises(TypeError, match="found 0"):
        registry.load("optimizer", "outsider")


def test_listing_imports_no_plug_in_and_no_torch():
    program = (
        "import sys; from graftlm.core import registry as r\n"
        "all_names = [(k, n, r.summary(k, n), r.where(k, n)) for k in r.kinds() for n in r.names(k)]\n"
        "assert all(path for *_, path in all_names), all_names\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('torch', 'transformers', 'sklearn', 'numpy')\n"
        "       or m.count('.') == 3 and m.startswith('graftlm.plugins.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
