"""The estimate of memory: what is counted agrees with closed forms, and the whole with measured peaks."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from graftlm.core import registry
from graftlm.core.errors import UserError
from graftlm.recipe import build
from graftlm.stages.training import estimating
from graftlm.stages.training.estimating import counting, estimate
from graftlm.stages.training.fitting import Wanted

ROOT = Path(__file__).resolve().parents[3]


def test_bytes_that_are_alive_are_counted_and_nothing_is_allocated():
    with counting() as alive:
        one = torch.zeros(1000, 1000, 1000)  # 4 GB that no test machine has to have
        assert alive.now == 4 * 10**9
        two = one + 1
        assert alive.now == alive.peak == 8 * 10**9
        view = two[:10]
        assert alive.now == 8 * 10**9
        del one
        assert alive.now == 4 * 10**9
        del two
        assert alive.now == 4 * 10**9  # the view holds it
        del view
        assert alive.now == 0
        assert alive.peak == 8 * 10**9


def test_a_layers_step_is_what_the_formulas_say():
    with counting() as alive:
        layer = torch.nn.Linear(64, 32, bias=False)
        weights = alive.now
        assert weights == 64 * 32 * 4
        x = torch.zeros(16, 64)
        optimizer = torch.optim.AdamW(layer.parameters())
        loss = layer(x).square().sum()
        loss.backward()
        del loss
        assert alive.now == 2 * weights + x.numel() * 4  # weights, gradient, input
        optimizer.step()
        assert 4 * weights <= alive.now - x.numel() * 4 <= 4 * weights + 64  # and two moments


def test_the_largest_batch_is_one_of_the_first_epochs():
    lengths = np.array([4, 9, 3, 3, 3, 20, 4, 4])
    rows = estimating._largest(lengths, 4, 0, True, 4)
    assert 5 in rows
    assert len(rows) == 4
    assert len(estimating._largest(lengths, 4, 0, True, 2)) == 2


def estimated(make_rows, **settings):
    recipe = build({"backbone": "tiny", **settings})
    rows, task = make_rows(), recipe.task
    base = recipe.backbone.open()
    wanted = Wanted(recipe.train, recipe.backbone, task, recipe.methods, recipe.losses, recipe.augmentations)
    return estimate(wanted, base, task.space(rows), rows, limit=base.card.limit)


def test_parts_follow_the_recipe(make_rows):
    full = estimated(make_rows, train={"working_vocabulary": False, "precision": "fp32"}).parts
    sgd = estimated(make_rows, train={"working_vocabulary": False, "precision": "fp32", "optimizer": "sgd"}).parts
    assert full["optimizer states"] == pytest.approx(2 * full["gradients"], rel=0.01)
    assert sgd["optimizer states"] == pytest.approx(sgd["gradients"], rel=0.01)  # momentum
    assert full["gradients"] <= full["weights"]
    large = estimated(make_rows, train={"working_vocabulary": False, "precision": "fp32", "batch_size": 8}).parts
    small = estimated(make_rows, train={"working_vocabulary": False, "precision": "fp32", "batch_size": 2}).parts
    key = "activations of the largest batch"
    assert large[key] > 2 * small[key] or large[key] == 0
    probe = estimated(make_rows, methods="probe").parts
    assert set(probe) == {"program and data", "weights", "answering"}


def test_lora_trains_less(make_rows):
    pytest.importorskip("peft")
    lora = estimated(make_rows, methods="lora", train={"working_vocabulary": False}).parts
    full = estimated(make_rows, train={"working_vocabulary": False}).parts
    assert lora["gradients"] < full["gradients"]


def test_weights_of_4_bits_are_counted_as_such_on_a_gpu(make_rows, monkeypatch):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(estimating.formats, "device_for", lambda name="auto": torch.device("cuda"))
    settings = {"backbone": {"use": "tiny", "width": 128}, "train": {"precision": "fp32"}}
    plain, held = (estimated(make_rows, methods=name, **settings).parts for name in ("lora", "qlora"))
    assert plain["gradients"] == held["gradients"]
    matrices = 2 * 8 * 128**2  # of two blocks: four of attention, and twice two widths by one
    spared = matrices * (4 - (4 + 8 / 64) / 8)
    assert plain["weights"] - held["weights"] == pytest.approx(spared, rel=0.02)
    assert torch.zeros(2).untyped_storage().device.type == "cpu"


def test_nothing_of_it_stays_behind(make_rows):
    before = torch.get_rng_state(), torch.nn.Module._apply
    estimated(make_rows)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.nn.Module._apply is before[1]
    assert torch.zeros(2).untyped_storage().device.type == "cpu"


def test_what_cannot_be_followed_is_told(make_rows, monkeypatch):
    task = registry.load("task", "classification")
    monkeypatch.setattr(task, "loss", lambda self, outputs, targets: outputs.logits.sum() * outputs.logits[0, 0].item())
    with pytest.raises(UserError, match="cannot be followed without weights"):
        estimated(make_rows)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", ["full-32-bf16", "full-8-fp32-sgd", "freeze-32-fp32", "lora-32-bf16", "probe"])
def test_it_is_within_a_quarter_of_the_measured_peak(case):
    asked = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "--only", case]
    found = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    assert abs(found["cases"][case]["quotient"] - 1) <= found["within"]


def test_the_benchmark_is_importable_and_names_its_cases():
    spec = importlib.util.spec_from_file_location("memory", ROOT / "benchmarks" / "memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {"full", "freeze", "lora", "probe"} <= {name.partition("-")[0] for name in module.CASES}
    for settings in module.CASES.values():
        from graftlm.verbs.arguments import recipe_of

        recipe_of({}, settings=dict(one.split("=") for one in settings))
