"""graft list: names and one line each."""

from __future__ import annotations

import json

from graftlm.cli.main import main
from graftlm.core import registry


def test_one_kind_by_either_name(capsys):
    assert main(["list", "optimizer"]) == 0
    one = capsys.readouterr().out
    assert main(["list", "optimizers"]) == 0
    assert capsys.readouterr().out == one
    lines = one.splitlines()
    assert lines[0] == "optimizer"
    assert [line.split()[0] for line in lines[1:]] == registry.names("optimizer")
    assert registry.summary("optimizer", "sgd") in one


def test_every_kind(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for kind in registry.kinds():
        for name in registry.names(kind):
            assert f"  {name} " in shown


def test_json(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {(each["kind"], each["name"]) for each in found} == {
        (kind, name) for kind in registry.kinds() for name in registry.names(kind)
    }


def test_a_kind_without_plug_ins_says_how_to_write_one(capsys, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda kind: [])
    assert main(["list", "detector"]) == 0
    assert "There is no detector yet. `graft new detector NAME` writes one." in capsys.readouterr().out
