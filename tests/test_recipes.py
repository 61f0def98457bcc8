"""The worked recipes run: each as it stands, but for the small random backbone and one epoch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import graftlm
from graftlm import recipe
from graftlm.core import registry

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def test_recipes_are_called_by_what_they_show():
    assert RECIPES
    assert {path.stem for path in RECIPES} & set(registry.names("task"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipe_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # recipes name their data from there
    embedded = recipe.build(recipe.read(path)).backbone.name() == "minilm"
    settings = {"train.epochs": 1, "train.precision": "fp32", "train.device": "cpu", "evaluate.resamples": 100}
    options = {"base": "tiny"} if embedded else {}
    run = graftlm.fit(str(path), out=str(tmp_path / "run"), settings=settings, **options)
    assert math.isfinite(run.metrics["primary"]["value"])
    assert run.metrics["primary"]["split"] == "test"
    assert set(run.metrics["baselines"]) == set(run.recipe.task.rivals())
    assert (run.bundle / "graft.json").is_file()
    told = json.loads((tmp_path / "run" / "data.json").read_text(encoding="utf-8"))
    assert not [one for one in told["findings"] if one["level"] == "error"]
