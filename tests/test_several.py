"""Several tasks on one backbone: one run, a plain bundle for each, resumable, judged against single training."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.test_pipeline import rows

from graftlm.core.errors import Interrupted, RecipeError, UserError
from graftlm.verbs.fitting import fit
from graftlm.verbs.predicting import predict

BALANCERS = ("fixed", "temperature", "uncertainty", "dwa", "gradnorm", "pcgrad", "cagrad", "nash_mtl", "famo")


def write(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


def words(count, seed):
    return [
        {"tokens": row["text"].split(), "tags": ["B-X" if len(w) > 5 else "O" for w in row["text"].split()]}
        for row in rows(count, seed)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def recipe(place):
    train, test = write(place / "a.jsonl", rows(120, 1)), write(place / "a_test.jsonl", rows(60, 2))
    tags, tags_test = write(place / "b.jsonl", words(70, 3)), write(place / "b_test.jsonl", words(40, 4))

    def made(out, **more):
        return {
            "tasks": {
                "topic": {"use": "classification", "data": {"train": train, "test": test}},
                "long": {"use": "tagging", "data": {"train": tags, "test": tags_test}, "weight": 0.5},
            },
            "backbone": "tiny",
            "train": {"epochs": 3, "batch_size": 16, "precision": "fp32", "seed": 0, "optimizer": {"rate": 3e-3}},
            "evaluate": {"baselines": "none", "resamples": 100},
            "out": str(place / out),
            **more,
        }

    return made


@pytest.fixture(scope="module")
def run(recipe):
    return fit(recipe("plain"))


def test_each_task_has_a_run_of_its_own_and_they_share_a_backbone(run):
    assert set(run.metrics["tasks"]) == {"topic", "long"}
    assert run.metrics["tasks"]["topic"]["primary"]["value"] > 0.5
    states = {}
    for name in ("topic", "long"):
        folder = run.folder / "tasks" / name
        assert (folder / "report.html").is_file()
        assert json.loads((folder / "metrics.json").read_text())["task"] == run.metrics["tasks"][name]["task"]
        states[name] = load_file(folder / "bundle" / "model.safetensors")
    pooled, native = states["topic"], {k.removeprefix("bert."): v for k, v in states["long"].items()}
    shared = set(pooled) & set(native)
    assert len(shared) > 20
    assert all(torch.equal(pooled[key], native[key]) for key in shared)


def test_a_bundle_answers_alone(run, tmp_path):
    answers = list(predict(run.folder / "tasks" / "topic", write(tmp_path / "x.jsonl", rows(5, 9))))
    assert len(answers) == 5
    assert {"label", "probability"} <= set(answers[0])


def test_a_stopped_run_goes_on_to_the_same_weights(recipe, run, monkeypatch):
    from graftlm.stages.training import fitting

    carried = fitting.listening
    steps = iter(range(10**6))

    def stopping(*given):
        class Stop:
            asked = "a test"

            def __call__(self):
                return next(steps) >= 6

        class Context:
            def __enter__(self):
                return Stop()

            def __exit__(self, *fault):
                return False

        return Context()

    monkeypatch.setattr(fitting, "listening", stopping)
    with pytest.raises(Interrupted):
        fit(recipe("stopped"))
    monkeypatch.setattr(fitting, "listening", carried)
    again = fit(recipe("stopped"), resume=True)
    for name in ("topic", "long"):
        one, other = (load_file(r.folder / "tasks" / name / "bundle" / "model.safetensors") for r in (run, again))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("balancer", BALANCERS)
def test_every_balancer_trains_both(recipe, balancer):
    run = fit(recipe(f"b_{balancer}", balancer=balancer))
    assert run.metrics["balancer"]["use"] == balancer
    for name in ("topic", "long"):
        history = [json.loads(line) for line in (run.folder / "tasks" / name / "log.jsonl").read_text().splitlines()]
        assert all(entry["loss"] == entry["loss"] for entry in history)


def test_weights_are_found_by_cross_validation_and_single_training_is_compared(recipe):
    found = fit(
        recipe(
            "cross",
            balancer={"use": "cross_validated", "trials": 2, "folds": 2, "steps": 4},
            evaluate={"baselines": "none", "resamples": 100, "single": True},
        )
    )
    assert found.metrics["balancer"]["use"] == "cross_validated"
    assert sum(found.metrics["balancer"]["found"].values()) == pytest.approx(2)
    for name in ("topic", "long"):
        gap = found.metrics["single"][name]
        assert gap["low"] <= gap["gain"] <= gap["high"]
        assert isinstance(gap["hurt"], bool)


@pytest.mark.parametrize("method", ["freeze", "lora", "sam", "ema"])
def test_methods_work_on_the_shared_backbone(recipe, method):
    run = fit(recipe(f"m_{method}", methods=[method]))
    assert set(run.metrics["tasks"]) == {"topic", "long"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"train": {"processes": 2}}, "one process"),
        ({"balancer": {"use": "fixed", "given": {"topik": 1}}}, "topik"),
        ({"methods": ["probe"]}, "probe"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, more, said, place):
    with pytest.raises((RecipeError, UserError), match=said):
        fit(recipe(f"refused_{said}", **more))


def test_one_task_has_nothing_to_balance(recipe):
    tree = recipe("alone")
    tree["tasks"].pop("long")
    with pytest.raises(RecipeError, match="nothing to balance"):
        fit(tree)


def test_the_recipe_comes_back_from_its_file(recipe):
    from graftlm import recipe as recipes

    built = recipes.build(recipe("round"))
    assert recipes.build(built.as_json()).fingerprint() == built.fingerprint()
    assert built.tasks["long"].weight == 0.5
