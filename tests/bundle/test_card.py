"""The model card: what it tells people to run gives what the bundle answers."""

from __future__ import annotations

import ast
import contextlib
import io
import re

import pytest

from graftlm.bundle import write
from graftlm.contracts.values import Example, Space
from graftlm.core import registry
from graftlm.prediction import Predictor
from graftlm.stages.training.assembling import assemble

SPACES = {
    "classification": Space(("a", "b", "c"), 3),
    "multilabel": Space(("a", "b", "c"), 3, {"thresholds": [0.1, 0.9, 0.5]}),
    "regression": Space((), 2, {"names": ["x", "y"], "mean": [3.0, 40.0], "deviation": [0.5, 9.0]}),
}


@pytest.mark.parametrize("pooling", ["native", "mean"])
@pytest.mark.parametrize("name", list(SPACES))
def test_the_code_on_the_card_prints_the_answer(name, pooling, tmp_path, monkeypatch):
    task, space = registry.make("task", name), SPACES[name]
    backbone = registry.make("backbone", {"use": "tiny", "pooling": pooling})
    model = assemble(backbone.open(), backbone, task, space, seed=0)
    model.module.eval()
    write(tmp_path / "bundle", model, task, space, max_length=64)
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "bundle")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "card", "exec"), {})  # noqa: S102
    (answer,) = Predictor(model, task, space, limit=64, precision="fp32").answers([Example("1", {"text": "a text"})])
    told = out.getvalue().strip().splitlines()[-1]
    if name == "classification":
        assert told == answer.value
    elif name == "multilabel":
        assert set(ast.literal_eval(told)) == set(answer.value)
    else:
        assert [float(x) for x in told.strip("[]").split()] == pytest.approx(list(answer.value.values()), rel=1e-4)


def test_a_task_without_such_code_still_shows_how_the_logits_come_about(tmp_path):
    task, space = registry.make("task", "multiple_choice"), Space((), 1, {"answers": "letter"})
    backbone = registry.make("backbone", "tiny")
    model = assemble(backbone.open(), backbone, task, space, seed=0)
    write(tmp_path / "bundle", model, task, space, max_length=64)
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert "one of the choices that come with a question" in card
    assert "labels" not in card
