"""graft describe: what a plug-in says of itself."""

from __future__ import annotations

import json

from graftlm.cli.main import main


def test_page(capsys):
    assert main(["describe", "optimizer", "adamw"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "optimizer adamw: AdamW: Adam with decoupled weight decay",
        "Source: Loshchilov and Hutter 2019",
        "eps: float (> 0, <= 1), default 1e-08",
        "betas: tuple[float, float], default [0.9, 0.999]",
        "Added to the denominator.",
        "elementwise: True",
    ):
        assert part in shown


def test_a_method_says_when_to_use_it(capsys):
    assert main(["describe", "method", "full"]) == 0
    shown = capsys.readouterr().out
    assert "When: " in shown
    assert "layout: same" in shown
    assert "head: 'probe' | 'random', default \"probe\"" in shown


def test_json(capsys):
    assert main(["describe", "optimizers", "sgd", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fields = {field["name"]: field for field in found["fields"]}
    assert found["name"] == "sgd"
    assert fields["momentum"]["bounds"] == [">= 0", "< 1"]
    assert fields["momentum"]["default"] == 0.9
    assert not fields["momentum"]["required"]


def test_what_is_not_there(capsys):
    assert main(["describe", "optimizer", "adamv"]) == 2
    assert "Did you mean 'adamw'?" in capsys.readouterr().err
