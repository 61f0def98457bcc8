"""What a second run makes a model forget of the first, measured and held to a budget."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tests.test_pipeline import QUICK, rows

from graftlm.core.errors import GateMissed, UserError
from graftlm.pipeline.remember import _choose
from graftlm.verbs.evaluating import evaluate
from graftlm.verbs.fitting import fit


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


def second(count, seed):
    swapped = {"card": "noun", "money": "verb", "trip": "noun"}
    return [{**row, "label": swapped[row["label"]]} for row in rows(count, seed)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("remember")


@pytest.fixture(scope="module")
def first(place):
    train, test = write(place / "a.jsonl", rows(400, 1)), write(place / "a_test.jsonl", rows(120, 2))
    return fit(train, test=test, out=str(place / "first"), **{**QUICK, "epochs": 6, "baselines": "none"})


@pytest.fixture(scope="module")
def next_one(place, first):
    def go(name, **more):
        given = {**QUICK, "base": str(first.bundle), "epochs": 5, "baselines": "none", "rate": 1e-2, **more}
        given = {"test": write(place / "b_test.jsonl", second(45, 4)), **given}
        data = given.pop("data", None) or write(place / "b.jsonl", second(90, 3))
        return fit(data, out=str(place / name), **{"remember": str(first.folder), **given})

    return go


@pytest.fixture(scope="module")
def plain(next_one):
    return next_one("plain")


def body(run):
    return {k: v for k, v in load_file(run.bundle / "model.safetensors").items() if "classifier" not in k}


def test_forgetting_is_the_fall_of_the_first_runs_own_figure(plain, first, place):
    told = plain.metrics["remember"]["runs"][0]
    assert told["before"]["value"] == pytest.approx(first.metrics["primary"]["value"])
    assert told["forgotten"]["gain"] == pytest.approx(told["before"]["value"] - told["after"]["value"])
    assert told["forgotten"]["low"] <= told["forgotten"]["gain"] <= told["forgotten"]["high"]
    assert json.loads((plain.folder / "metrics.json").read_text())["remember"]["kept"] is True


def test_the_figure_after_is_that_of_the_old_head_on_the_new_body(plain, first, place):
    """An independent way: the first bundle's folder with the second one's tensors below the head."""
    from graftlm.bundle import load, open_bundle
    from graftlm.prediction import Predictor

    opened = open_bundle(first.bundle)
    model = load(opened, precision="fp32", device="cpu")
    new = load(open_bundle(plain.bundle), precision="fp32", device="cpu")
    model.module.get_submodule(model.base).load_state_dict(new.module.get_submodule(new.base).state_dict())
    examples = [json.loads(line) for line in (place / "a_test.jsonl").read_text().splitlines()]
    from graftlm.contracts.values import Example

    answers = Predictor(model, opened.task(), opened.space(), limit=opened.max_length, precision="fp32").answers(
        [Example(str(n), {"text": row["text"]}, row["label"]) for n, row in enumerate(examples)]
    )
    right = sum(answer.value == row["label"] for answer, row in zip(answers, examples, strict=True)) / len(examples)
    assert plain.metrics["remember"]["runs"][0]["after"]["value"] == pytest.approx(right)


def test_the_first_run_is_left_as_it_was(plain, first, place):
    again = evaluate(first.folder, str(place / "a_test.jsonl"), resamples=100, precision="fp32")
    assert again.scores.headline.value == pytest.approx(first.metrics["primary"]["value"])


def test_a_budget_takes_a_point_between_start_and_end(next_one, plain, first):
    """A high rate forgets much, so that the budget bites; the body lies on the line, and the choice is the best."""
    assert plain.metrics["remember"]["runs"][0]["forgotten"]["gain"] > 0.05
    kept = next_one("kept", forget_at_most=5.0)
    told = kept.metrics["remember"]
    share = told["share"]
    assert 0 < share < 1
    inside = [one for one in told["tried"] if one["forgotten"] <= 0.03]
    assert max(one["score"] for one in inside) == next(o["score"] for o in told["tried"] if o["share"] == share)
    start, end, found = body(first), body(plain), body(kept)
    for name in start:
        torch.testing.assert_close(found[name], start[name] + share * (end[name] - start[name]), rtol=1e-4, atol=1e-5)


def test_thresholds_are_those_of_the_weights_between(next_one, place, monkeypatch):
    from graftlm.bundle import load, open_bundle
    from graftlm.contracts.values import Example
    from graftlm.prediction import Predictor

    made = [{"text": row["text"], "labels": [row["label"], "long"][: 1 + n % 2]} for n, row in enumerate(rows(60, 7))]
    valid = write(place / "several_valid.jsonl", made)
    monkeypatch.setattr("graftlm.pipeline.remember._choose", lambda *_: (0.3, True))
    run = next_one(
        "several", task="multilabel", valid=valid, test=None, forget_at_most=5.0, precision="fp32",
        data=write(place / "several.jsonl", made),
    )  # fmt: skip
    assert run.metrics["remember"]["share"] == 0.3
    opened = open_bundle(run.bundle)
    task, space = opened.task(), opened.space()
    predictor = Predictor(load(opened, precision="fp32", device="cpu"), task, space, limit=64, precision="fp32")
    examples = [Example(str(n), {"text": row["text"]}, row["labels"]) for n, row in enumerate(made)]
    predictor.tune(predictor.encode(examples), examples)
    assert space.extra["thresholds"] == pytest.approx(predictor.space.extra["thresholds"], abs=1e-4)


def test_forward_transfer_is_the_probe_on_both_bases(next_one, place):
    """An independent way: a run of its own from the base where the chain began has that probe among its baselines."""
    probe = {"baselines": ["none", "probe"], "method": "probe"}
    run = next_one("ahead", **probe)
    told = run.metrics["remember"]["forward"]
    fresh = next_one("fresh", **probe, base=QUICK["base"], remember=None)
    name = run.metrics["primary"]["name"]
    assert told["before"]["value"] == pytest.approx(fresh.metrics["baselines"]["probe"]["test"][name]["value"])
    assert told["after"]["value"] == pytest.approx(run.metrics["baselines"]["probe"]["test"][name]["value"])
    assert told["gain"]["gain"] == pytest.approx(told["after"]["value"] - told["before"]["value"])
    assert told["base"] == "tiny"
    assert "forward transfer" in run.metrics["remember"]["sentence"]


def test_without_a_probe_there_is_no_forward_transfer(plain):
    assert plain.metrics["remember"]["forward"] is None


def test_a_wide_budget_changes_nothing(next_one, plain):
    wide = next_one("wide", forget_at_most=100.0)
    assert wide.metrics["remember"]["share"] == 1.0
    for name, tensor in body(plain).items():
        assert torch.equal(tensor, body(wide)[name])


def test_a_budget_that_nothing_meets_ends_with_the_gate(next_one, monkeypatch, place):
    monkeypatch.setattr("graftlm.pipeline.remember.MIXTURES", ())
    with pytest.raises(GateMissed, match="train.optimizer.rate"):
        next_one("missed", forget_at_most=0.0)
    assert json.loads((place / "missed/metrics.json").read_text())["remember"]["kept"] is False


def test_another_start_is_refused(next_one, first):
    with pytest.raises(UserError, match=r"--base .*bundle"):
        next_one("other", base="tiny")


def test_a_method_that_keeps_parts_beside_the_base_is_refused_before_training(next_one, place):
    for name, settings in (("bottleneck", {}), ("lora", {"methods.0.merge": False})):
        own = {**QUICK["settings"], **settings}
        with pytest.raises(UserError, match=f"the method '{name}' keeps parts beside the base model"):
            next_one(f"keeps_{name}", method=name, settings=own)
        assert not (place / f"keeps_{name}" / "checkpoints").exists()


def test_a_run_without_its_recipe_or_rows_is_refused(next_one, first, place):
    bare = place / "bare"
    shutil.copytree(first.folder, bare)
    (bare / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"recipe\.yaml"):
        fit(rows(30, 1), out=str(place / "x"), remember=str(bare), **{**QUICK, "base": str(first.bundle)})


def test_the_best_point_inside_the_budget_is_chosen():
    tried = [{"share": s, "forgotten": f} for s, f in ((1.0, 0.2), (0.7, 0.04), (0.4, 0.03), (0.1, 0.0))]
    assert _choose(tried, [9.0, 5.0, 7.0, 7.0], 0.05) == (0.4, True)
    assert _choose(tried, [9.0, 5.0, 7.0, 7.0], -1) == (1.0, False)


def test_a_run_that_keeps_an_adapter_cannot_be_remembered_and_says_what_can(place, tmp_path):
    kept = fit(write(tmp_path / "a.jsonl", rows(60, 1)), out=str(tmp_path / "kept"), method="lora", baselines="none",
               **{**QUICK, "epochs": 1, "settings": {"methods.0.merge": False}})  # fmt: skip
    with pytest.raises(UserError, match=r"keeps an adapter beside its base.*merge: true"):
        fit(write(tmp_path / "b.jsonl", rows(60, 2)), out=str(tmp_path / "b"), remember=[str(kept.folder)], **QUICK)
